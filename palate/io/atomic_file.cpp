#include "palate/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_io(const fs::path& path, const char* what) { fail<IoError>(path.string(), ": ", what, ": ", std::strerror(errno)); }

// A name beside the target that no other process or thread uses.
fs::path temporary_name(const fs::path& path) {
  static std::atomic<uint64_t> count{0};
  return fs::path(path.string() + ".tmp-" + std::to_string(getpid()) + "-" + std::to_string(count++));
}

void write_all(int file, const char* data, size_t size, const fs::path& path) {
  while (size > 0) {
    const ssize_t written = ::write(file, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_io(path, "cannot be written");
    data += written;
    size -= static_cast<size_t>(written);
  }
}

void sync_path(const fs::path& path) {
  const int file = open(path.c_str(), O_RDONLY);
  if (file < 0) fail_io(path, "cannot be opened to be synced");
  const int status = fsync(file);
  const int saved = errno;
  close(file);
  errno = saved;
  // Some file systems cannot sync a folder and say EINVAL; there the rename is all that can be done.
  if (status != 0 && saved != EINVAL) fail_io(path, "cannot be synced to disk");
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

}  // namespace

struct AtomicFile::State {
  fs::path path, temporary;
  int file = -1;
};

AtomicFile::AtomicFile(fs::path path) : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  state_->temporary = temporary_name(state_->path);
  state_->file = open(state_->temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (state_->file < 0) fail_io(state_->path, "cannot be created");
}

AtomicFile::~AtomicFile() {
  if (state_->file < 0) return;
  close(state_->file);
  unlink(state_->temporary.c_str());
}

void AtomicFile::write(std::string_view bytes) { write_all(state_->file, bytes.data(), bytes.size(), state_->path); }

void AtomicFile::commit() {
  if (fsync(state_->file) != 0) fail_io(state_->path, "cannot be synced to disk");
  if (::rename(state_->temporary.c_str(), state_->path.c_str()) != 0) fail_io(state_->path, "cannot be put in place");
  close(state_->file);
  state_->file = -1;
  sync_path(parent_of(state_->path));
}

void write_file(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

std::string read_file(const fs::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_io(path, "cannot be read");
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int saved = errno;
      close(file);
      errno = saved;
      fail_io(path, "cannot be read");
    }
    if (count == 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  close(file);
  return text;
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  check<IoError>(!error, path.string(), ": cannot be created: ", error.message());
}

void check_new_folder(const fs::path& folder) {
  std::error_code error;
  const bool there = fs::exists(folder, error);
  check<UsageError>(!error, folder.string(), ": cannot be an output folder: ", error.message());
  if (!there) return;
  check<UsageError>(fs::is_directory(folder), folder.string(), ": expected a folder to write to, found a file: name another");
  check<UsageError>(fs::is_empty(folder, error) && !error, folder.string(), ": the output folder is already in use: name another");
}

AtomicFolder::AtomicFolder(fs::path path) : path_(std::move(path)), work_(temporary_name(path_)) {
  std::error_code error;
  fs::create_directories(work_, error);
  check<IoError>(!error, work_.string(), ": cannot be created: ", error.message());
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!work_.empty()) fs::remove_all(work_, ignored);
}

const fs::path& AtomicFolder::work() const { return work_; }

void AtomicFolder::commit() {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(work_, error), end; !error && entry != end; entry.increment(error)) sync_path(entry->path());
  check<IoError>(!error, work_.string(), ": cannot be read: ", error.message());
  sync_path(work_);
  check<IoError>(!fs::exists(fs::symlink_status(path_)), path_.string(), ": is already there");
  if (::rename(work_.c_str(), path_.c_str()) != 0) fail_io(path_, "cannot be put in place");
  work_.clear();
  sync_path(parent_of(path_));
}

void remove_folder(const fs::path& path) {
  std::error_code ignored;
  const fs::path going = temporary_name(path);
  fs::rename(path, going, ignored);
  fs::remove_all(ignored ? path : going, ignored);
}

LineWriter::LineWriter(const fs::path& path, bool append) : path_(path) {
  file_ = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND | (append ? 0 : O_TRUNC), 0644);
  if (file_ < 0) fail_io(path, "cannot be opened for writing");
}

LineWriter::~LineWriter() {
  if (file_ >= 0) close(file_);
}

void LineWriter::line(std::string_view text) {
  const std::string with_end = std::string(text) + "\n";
  write_all(file_, with_end.data(), with_end.size(), path_);
}

}  // namespace palate
