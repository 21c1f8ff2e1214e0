#include "palate/hub/pull.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/hub/download.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr double kMegabyte = 1e6;

// One bar in megabytes over the bytes of all files.
class ByteProgress {
 public:
  ByteProgress(const std::string& title, double total, double there)
      : bar_(title + ", MB", static_cast<int64_t>(total / kMegabyte), static_cast<int64_t>(there / kMegabyte)),
        bytes_(there),
        shown_(static_cast<int64_t>(there / kMegabyte)) {}

  void advance(int64_t bytes, bool received) {
    const std::lock_guard hold(mutex_);
    bytes_ += static_cast<double>(bytes);
    if (received) fetched_ += static_cast<double>(bytes);
    const auto now = static_cast<int64_t>(bytes_ / kMegabyte);
    if (now != shown_) bar_.advance(now - std::exchange(shown_, now));
  }
  double bytes() const { return bytes_; }
  double fetched() const { return fetched_; }

 private:
  std::mutex mutex_;
  Progress bar_;
  double bytes_, fetched_ = 0;
  int64_t shown_;
};

class Pull {
 public:
  Pull(const fs::path& cache, const HubServer& server, const PullOptions& options)
      : cache_(cache, options.at.repo), server_(server), options_(options), client_(server, [this] { return cancelled(); }) {}

  Pulled run() {
    listing_ = list();
    cache_.prepare();
    std::vector<RepoFile> files = choose();
    for (auto& file : files) complete(file);
    Pulled done{cache_.snapshot(listing_.commit), listing_.commit, static_cast<int64_t>(files.size())};
    const std::vector<RepoFile> blobs = distinct(files);
    double there = 0;  // model_index.json with them, if it came just now
    for (const auto& blob : blobs) {
      done.bytes += static_cast<double>(blob.size);
      there += static_cast<double>(bytes_there(cache_, blob));
    }
    log_info(options_.at.repo.name, " at ", options_.at.revision, " (", listing_.commit.substr(0, 8), "): ", files.size(), " files, ",
             show_size(done.bytes), there > index_bytes_ ? ", in the cache already: " + show_size(there - index_bytes_) : "");
    check_room(done.bytes - there);
    done.fetched = index_bytes_ + fetch_all(blobs, done.bytes, there);
    for (const auto& file : files) cache_.link(listing_.commit, file.path, file.etag);
    if (!is_commit(options_.at.revision)) cache_.write_ref(options_.at.revision, listing_.commit);
    return done;
  }

 private:
  RepoListing list() {
    try {
      return list_repo(client_, options_.at);
    } catch (const Unreachable& error) {
      const std::string commit = cache_.commit_of(options_.at.revision);
      if (commit.empty() || !fs::is_directory(cache_.snapshot(commit))) throw;
      fail<Unreachable>(error.what(), "; the cache holds ", options_.at.repo.name,
                        " as it was fetched before: commands find it there, and with HF_HUB_OFFLINE=1 so does pull");
    }
  }

  bool cancelled() const { return stop_ || interrupted() != 0; }

  // What the listing leaves open, the file's own headers say.
  void complete(RepoFile& file) {
    if (file.etag.empty() || file.size < 0) complete_file(client_, options_.at, listing_.commit, file);
  }

  // model_index.json says which folders are a pipeline's, so it comes first.
  Json read_index() {
    const auto index =
        std::find_if(listing_.files.begin(), listing_.files.end(), [](const RepoFile& file) { return file.path == "model_index.json"; });
    if (options_.at.repo.type != RepoType::model || !options_.choose.include.empty() || index == listing_.files.end()) return {};
    complete(*index);
    check<FormatError>(index->size < 1000000, options_.at.repo.name, ": model_index.json has ", index->size,
                       " bytes, expected a small file");
    fetch_blob(client_, options_.at, listing_.commit, cache_, *index,
               {[this](int64_t bytes, bool received) { index_bytes_ += received ? static_cast<double>(bytes) : 0; },
                [this] { return cancelled(); }});
    return parse_json(read_file(cache_.blob(index->etag)), "model_index.json of " + options_.at.repo.name);
  }

  std::vector<RepoFile> choose() {
    try {
      return choose_files(listing_.files, read_index(), options_.at.repo.type, options_.choose);
    } catch (const UsageError& error) {
      fail<UsageError>(options_.at.repo.name, ": ", error.what());
    }
  }

  // Files with the same contents are one blob. The largest come first: they would keep one of the threads busy at the end.
  static std::vector<RepoFile> distinct(const std::vector<RepoFile>& files) {
    std::map<std::string, RepoFile> by_etag;
    for (const auto& file : files) by_etag.emplace(file.etag, file);
    std::vector<RepoFile> blobs;
    for (const auto& [etag, file] : by_etag) blobs.push_back(file);
    std::stable_sort(blobs.begin(), blobs.end(), [](const RepoFile& a, const RepoFile& b) { return a.size > b.size; });
    return blobs;
  }

  void check_room(double wanted) const {
    std::error_code error;
    const auto free = static_cast<double>(fs::space(cache_.folder(), error).available);
    check<IoError>(error || wanted <= free, cache_.folder().string(), ": ", options_.at.repo.name, " needs ", show_size(wanted), ", but ",
                   show_size(free), " are free on that disk, ", show_size(wanted - free),
                   " too few: free some, choose fewer files with --include, or move the cache with HF_HUB_CACHE");
  }

  double fetch_all(const std::vector<RepoFile>& blobs, double total, double there) {
    ByteProgress progress(options_.at.repo.name, total, there);
    const DownloadWatch watch{[&](int64_t bytes, bool received) { progress.advance(bytes, received); }, [this] { return cancelled(); }};
    std::atomic<size_t> next{0};
    std::exception_ptr first;
    std::mutex mutex;
    const auto work = [&] {
      try {
        HubClient client(server_, watch.cancelled);
        for (size_t i = next++; i < blobs.size() && !cancelled(); i = next++)
          fetch_blob(client, options_.at, listing_.commit, cache_, blobs[i], watch);
      } catch (...) {
        const std::lock_guard hold(mutex);
        if (!stop_.exchange(true)) first = std::current_exception();
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 0; i < std::min(blobs.size(), static_cast<size_t>(options_.jobs)); ++i) threads.emplace_back(work);
    for (auto& thread : threads) thread.join();
    check<IoError>(interrupted() == 0, "interrupted: ", show_size(progress.bytes()), " of ", show_size(total), " of ",
                   options_.at.repo.name, " are in the cache; the same command goes on from there");
    if (first) std::rethrow_exception(first);
    return progress.fetched();
  }

  RepoCache cache_;
  const HubServer& server_;
  const PullOptions& options_;
  std::atomic<bool> stop_{false};
  HubClient client_;
  RepoListing listing_;
  double index_bytes_ = 0;  // of model_index.json, received before the others
};

}  // namespace

Pulled pull(const fs::path& cache, const HubServer& server, const PullOptions& options) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of that write, not the end of the program
  const InterruptGuard guard;
  return Pull(cache, server, options).run();
}

Pulled pull_offline(const fs::path& cache, const PullOptions& options) {
  const std::string& name = options.at.repo.name;
  const auto found = find_snapshot(cache, options.at);
  check<UsageError>(found.has_value(), name, " at ", options.at.revision, ": is not in the Hugging Face cache at ", cache.string(),
                    ", and HF_HUB_OFFLINE forbids to fetch it: unset HF_HUB_OFFLINE, or set HF_HUB_CACHE to the cache that holds it");
  const std::string broken = broken_link(found->folder);
  check<UsageError>(broken.empty(), name, " at ", options.at.revision, ": ", broken, " in ", found->folder.string(),
                    " links to a blob that is not there, and HF_HUB_OFFLINE forbids to fetch it: unset HF_HUB_OFFLINE and pull again");
  Pulled done{found->folder, found->commit};
  for (const auto& entry : fs::recursive_directory_iterator(found->folder)) {
    if (!entry.is_regular_file()) continue;
    ++done.files;
    done.bytes += static_cast<double>(entry.file_size());
  }
  return done;
}

}  // namespace palate
