// One repository's folder in the Hugging Face cache, in the layout that huggingface_hub documents:
//   models--ORG--NAME/blobs/ETAG                     contents, named by their hash
//   models--ORG--NAME/blobs/ETAG.incomplete          a download that goes on
//   models--ORG--NAME/snapshots/COMMIT/FILE          a relative link to a blob
//   models--ORG--NAME/refs/REVISION                  a file with the commit
//   .locks/models--ORG--NAME/ETAG.lock               held (flock) while a blob is written
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "palate/hub/repo.h"

namespace palate {

class RepoCache {
 public:
  RepoCache(const std::filesystem::path& cache, const Repo& repo);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path incomplete(const std::string& etag) const { return folder_ / "blobs" / (etag + ".incomplete"); }
  std::filesystem::path lock(const std::string& etag) const { return locks_ / (etag + ".lock"); }
  std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }

  // Makes blobs/, the locks' folder, and the tag by which backup programs know a cache.
  void prepare() const;

  // The commit that a revision had when it was last fetched: from refs/, or the revision itself when it is a commit; "" for none.
  std::string commit_of(const std::string& revision) const;
  void write_ref(const std::string& revision, const std::string& commit) const;  // whole or not at all

  // snapshots/COMMIT/FILE -> ../../blobs/ETAG, replacing what stood there. FormatError for a file that path_fault() refuses.
  void link(const std::string& commit, const std::string& file, const std::string& etag) const;

 private:
  std::filesystem::path cache_, folder_, locks_;
};

struct Snapshot {
  std::filesystem::path folder;
  std::string commit;
};

// What is there without asking anyone. Nothing when the revision or its snapshot is not in the cache.
std::optional<Snapshot> find_snapshot(const std::filesystem::path& cache, const RepoAt& at);

// The first file of a snapshot whose blob is not there, relative to it; "" when all are.
std::string broken_link(const std::filesystem::path& snapshot);

}  // namespace palate
