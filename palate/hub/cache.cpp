#include "palate/hub/cache.h"

#include <unistd.h>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace fs = std::filesystem;

RepoCache::RepoCache(const fs::path& cache, const Repo& repo)
    : cache_(cache), folder_(cache / repo.cache_folder()), locks_(cache / ".locks" / repo.cache_folder()) {}

void RepoCache::prepare() const {
  make_folder(folder_ / "blobs");
  make_folder(locks_);
  // https://bford.info/cachedir: the first line is all that counts.
  if (const fs::path tag = cache_ / "CACHEDIR.TAG"; !fs::exists(tag)) {
    write_file(tag, "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of files of the Hugging Face hub.\n");
  }
}

std::string RepoCache::commit_of(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  const fs::path file = folder_ / "refs" / revision;
  std::error_code ignored;
  if (!path_fault(revision).empty() || !fs::is_regular_file(file, ignored) || fs::file_size(file, ignored) > 64) return "";
  std::string commit = read_file(file);
  while (commit.ends_with('\n')) commit.pop_back();
  return is_commit(commit) ? commit : "";
}

void RepoCache::write_ref(const std::string& revision, const std::string& commit) const {
  if (commit_of(revision) == commit) return;
  const fs::path file = folder_ / "refs" / revision;
  make_folder(file.parent_path());
  write_file(file, commit);
}

void RepoCache::link(const std::string& commit, const std::string& file, const std::string& etag) const {
  const std::string fault = path_fault(file);
  check<FormatError>(fault.empty() && is_commit(commit), folder_.string(), ": the file name '", file, "' is refused: ", fault);
  const fs::path place = snapshot(commit) / file;
  make_folder(place.parent_path());
  const fs::path target = blob(etag).lexically_relative(place.parent_path());
  std::error_code error;
  if (fs::read_symlink(place, error) == target && !error) return;
  // Under another name first: whoever reads the snapshot meanwhile finds the old link or the new one.
  const fs::path fresh = place.string() + ".tmp-" + std::to_string(getpid());
  fs::remove(fresh, error);
  fs::create_symlink(target, fresh, error);
  check<IoError>(!error, place.string(), ": the link to its blob cannot be made: ", error.message(),
                 " (the cache needs a file system with symbolic links)");
  fs::rename(fresh, place, error);
  check<IoError>(!error, place.string(), ": cannot be put in place: ", error.message());
}

std::optional<Snapshot> find_snapshot(const fs::path& cache, const RepoAt& at) {
  const RepoCache repo(cache, at.repo);
  const std::string commit = repo.commit_of(at.revision);
  std::error_code ignored;
  if (commit.empty() || !fs::is_directory(repo.snapshot(commit), ignored)) return std::nullopt;
  return Snapshot{repo.snapshot(commit), commit};
}

std::string broken_link(const fs::path& snapshot) {
  for (const auto& entry : fs::recursive_directory_iterator(snapshot)) {
    if (entry.is_symlink() && !fs::exists(entry.path())) return entry.path().lexically_relative(snapshot).string();
  }
  return "";
}

}  // namespace palate
