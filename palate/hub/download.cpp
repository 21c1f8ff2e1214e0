#include "palate/hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "palate/core/log.h"
#include "palate/hub/blob_check.h"
#include "palate/io/file_lock.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// blobs/ETAG.incomplete: grows at its end, and becomes the blob.
class PartialFile {
 public:
  PartialFile(fs::path path, const std::string& name) : path_(std::move(path)), name_(name) {
    file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file_ < 0) fail_io("cannot be opened");
    struct stat about {};
    if (fstat(file_, &about) != 0) fail_io("cannot be read");
    size_ = about.st_size;
  }
  ~PartialFile() {
    close(file_);
    if (size_ == 0 && !placed_) remove();
  }
  PartialFile(const PartialFile&) = delete;

  int64_t size() const { return size_; }

  void append(std::string_view bytes, int64_t whole) {
    while (!bytes.empty()) {
      const ssize_t count = pwrite(file_, bytes.data(), bytes.size(), size_);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_full(whole);
      bytes.remove_prefix(static_cast<size_t>(count));
      size_ += count;
    }
  }

  void clear() {
    if (ftruncate(file_, 0) != 0) fail_io("cannot be cut");
    size_ = 0;
  }

  void read(const std::function<void(std::string_view)>& take) const {
    std::vector<char> buffer(1 << 20);
    for (int64_t at = 0; at < size_;) {
      const ssize_t count = pread(file_, buffer.data(), buffer.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail_io("cannot be read");
      take({buffer.data(), static_cast<size_t>(count)});
      at += count;
    }
  }

  void become(const fs::path& blob) {
    if (fsync(file_) != 0) fail_io("cannot be synced to disk");
    if (::rename(path_.c_str(), blob.c_str()) != 0) fail_io("cannot be put in place");
    placed_ = true;
  }

  void remove() { unlink(path_.c_str()); }

 private:
  [[noreturn]] void fail_io(const char* what) const { fail<IoError>(path_.string(), " (", name_, "): ", what, ": ", std::strerror(errno)); }

  [[noreturn]] void fail_full(int64_t whole) const {
    const int reason = errno;
    std::error_code ignored;
    const auto free = fs::space(path_, ignored).available;
    fail<IoError>(path_.string(), " (", name_, "): cannot be written: ", std::strerror(reason), ": ",
                  show_size(static_cast<double>(whole - size_)), " of it are missing, ", show_size(ignored ? 0 : static_cast<double>(free)),
                  " are free on that disk; what came is kept, and the same command goes on from there");
  }

  fs::path path_;
  const std::string& name_;
  int file_ = -1;
  int64_t size_ = 0;
  bool placed_ = false;
};

class BlobDownload {
 public:
  BlobDownload(HubClient& client, const RepoAt& at, const std::string& commit, const RepoCache& cache, const RepoFile& file,
               const DownloadWatch& watch)
      : client_(client),
        at_(at),
        commit_(commit),
        file_(file),
        watch_(watch),
        part_(cache.incomplete(file.etag), file.path),
        check_(file.etag, file.size) {}

  // Whether what was there before turned out to be something else, so that all of it had to come again.
  void run(const fs::path& blob) {
    bool resumed = part_.size() > 0;
    if (part_.size() > file_.size) part_.clear();  // bytes_there() does not count it either
    part_.read([this](std::string_view bytes) {
      check<IoError>(!watch_.cancelled(), "interrupted");
      check_.update(bytes);
    });
    for (;;) {
      fetch();
      const std::string fault = check_.fault();
      if (fault.empty()) break;
      if (!resumed) {
        part_.remove();
        fail<FormatError>(file_.path, " of ", at_.repo.name, ": ", fault, " in the ", file_.size, " bytes that ", client_.server().endpoint,
                          " sent: nothing of it was kept; try again, and look at HF_ENDPOINT and the proxy if it happens again");
      }
      log_detail(file_.path + ": what an earlier attempt left is damaged; from the start again");
      resumed = false;
      restart();
    }
    part_.become(blob);
  }

 private:
  void restart() {
    watch_.advance(-part_.size(), false);
    part_.clear();
    check_.restart();
  }

  void fetch() {
    Patience patience(client_.server().wait, watch_.cancelled);
    int64_t furthest = part_.size();
    while (part_.size() < file_.size) {
      try {
        request();
        if (part_.size() < file_.size)
          throw BrokenConnection(concat(file_.path, ": the answer ended after ", part_.size(), " of ", file_.size, " bytes"));
      } catch (const BrokenConnection& error) {
        // A server that takes no ranges starts from nothing each time: that alone is no progress.
        patience.wait(error, part_.size() > furthest);
        furthest = std::max(furthest, part_.size());
      }
    }
  }

  void request() {
    HttpRequest request;
    request.url = file_url(client_.server(), at_.repo, commit_, file_.path);
    request.from = part_.size();
    request.begin = [this](const HttpAnswer& answer) { begin(answer); };
    request.take = [this](std::string_view bytes) {
      check<FormatError>(part_.size() + static_cast<int64_t>(bytes.size()) <= file_.size, file_.path, ": expected ", file_.size,
                         " bytes as the listing says, found more");
      part_.append(bytes, file_.size);
      check_.update(bytes);
      watch_.advance(static_cast<int64_t>(bytes.size()), true);
    };
    client_.send(request, at_.repo, file_.path);
  }

  void begin(const HttpAnswer& answer) {
    if (answer.status == 206) {
      const std::string range = answer.header("content-range"), expected = "bytes " + std::to_string(part_.size()) + "-";
      check<FormatError>(range.starts_with(expected), file_.path, ": expected an answer that goes on at byte ", part_.size(),
                         ", found the range '", range, "'");
    } else {
      if (part_.size() > 0) restart();  // the server takes no ranges
      const std::string length = answer.header("content-length");
      check<FormatError>(length.empty() || length == std::to_string(file_.size), file_.path, ": expected ", file_.size,
                         " bytes as the listing says, found ", length);
    }
  }

  HubClient& client_;
  const RepoAt& at_;
  const std::string& commit_;
  const RepoFile& file_;
  const DownloadWatch& watch_;
  PartialFile part_;
  BlobCheck check_;
};

int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::is_regular_file(path, error) ? fs::file_size(path, error) : 0;
  return error ? 0 : static_cast<int64_t>(size);
}

bool is_there(const RepoCache& cache, const RepoFile& file) {
  std::error_code ignored;
  return fs::is_regular_file(cache.blob(file.etag), ignored) && size_of(cache.blob(file.etag)) == file.size;
}

}  // namespace

int64_t bytes_there(const RepoCache& cache, const RepoFile& file) {
  if (is_there(cache, file)) return file.size;
  const int64_t partial = size_of(cache.incomplete(file.etag));
  return partial <= file.size ? partial : 0;
}

void fetch_blob(HubClient& client, const RepoAt& at, const std::string& commit, const RepoCache& cache, const RepoFile& file,
                const DownloadWatch& watch) {
  if (is_there(cache, file)) return;
  const int64_t counted = bytes_there(cache, file);
  bool said = false;
  const auto wait = [&] {
    check<IoError>(!watch.cancelled(), "interrupted");
    if (!std::exchange(said, true)) log_info("waiting for another program that fetches ", file.path);
  };
  const FileLock lock(cache.lock(file.etag), wait, 0664);    // group-writable, so that people who share a cache can wait for each other
  watch.advance(bytes_there(cache, file) - counted, false);  // while it waited
  if (is_there(cache, file)) return;
  BlobDownload(client, at, commit, cache, file, watch).run(cache.blob(file.etag));
}

std::string show_size(double bytes) {
  static const char* units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) {
    bytes /= 1000;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.3g %s", bytes, units[unit]);
  return text;
}

}  // namespace palate
