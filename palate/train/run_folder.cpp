#include "palate/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

bool same_file(int file, const fs::path& path) {
  struct stat held {
  }, named{};
  return fstat(file, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

std::string owner(int file) {
  char text[32] = {};
  const ssize_t size = pread(file, text, sizeof text - 1, 0);
  std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "another process" : "process " + pid;
}

}  // namespace

std::string remedy_of_write(const std::string& reason) {
  const auto says = [&](int number) { return reason.find(std::strerror(number)) != std::string::npos; };
  if (says(ENOSPC) || says(EDQUOT) || says(EFBIG)) return "Make room";
  return says(EACCES) || says(EPERM) || says(EROFS) ? "Make the folder writable" : "Put that right";
}

RunFolder::RunFolder(fs::path path, RunStart start) : path_(std::move(path)) {
  std::error_code error;
  const bool there = fs::exists(path_, error);
  check<UsageError>(!error, "output: ", path_.string(), " cannot be a run folder (", error.message(), ")");
  check<UsageError>(!there || fs::is_directory(path_), "output: ", path_.string(), " is a file, expected a folder: name another");
  if (start == RunStart::resume) {
    check<UsageError>(there, "output: ", path_.string(),
                      " does not exist, so there is nothing to resume; leave out resume to start a new run");
  } else {
    fs::create_directories(path_, error);
    check<IoError>(!error, "output: ", path_.string(), " cannot be created (", error.message(), ")");
  }
  lock();
  if (start == RunStart::resume) return;
  const uintmax_t logged = fs::file_size(path_ / "metrics.jsonl", error);
  const bool no_step = error || logged == 0;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (no_step && (name == "metrics.jsonl" || name.starts_with("events.out."))) continue;
    if (name == ".lock" || name == "cache" || name == "config.resolved.toml") continue;  // of a run that failed before its first step
    release();
    fail<UsageError>("output: ", path_.string(), " holds a run already (", name,
                     "): add resume=latest to go on with it, or name another folder");
  }
}

void RunFolder::lock() {
  const fs::path path = path_ / ".lock";
  for (;;) {
    file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    check<IoError>(file_ >= 0, "output: ", path.string(), " cannot be written (", std::strerror(errno), ")");
    if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
      const std::string who = owner(file_);
      close(file_);
      fail<UsageError>("output: ", path_.string(), " is in use by ", who, ": wait for it, or name another folder");
    }
    if (same_file(file_, path)) break;  // else its last owner removed it between open and lock
    close(file_);
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(file_, 0) == 0 && pwrite(file_, pid.data(), pid.size(), 0) > 0) return;
  // The lock holds without the number in it.
}

RunFolder::~RunFolder() { release(); }

void RunFolder::release() {
  if (file_ < 0) return;
  unlink((path_ / ".lock").c_str());
  close(file_);
  file_ = -1;
}

}  // namespace palate
