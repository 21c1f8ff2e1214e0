#include "palate/train/run_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// Who wrote his number into the lock.
std::string owner(const fs::path& lock) {
  std::string pid;
  std::getline(std::ifstream(lock), pid);
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
  const auto refuse = [&] {
    fail<UsageError>("output: ", path_.string(), " is in use by ", owner(path), ": wait for it, or name another folder");
  };
  try {
    do {
      lock_ = std::make_unique<FileLock>(path, refuse, 0644);
    } while (!lock_->still_at(path));  // its last owner removed it between open and lock
  } catch (const IoError& error) {
    fail<IoError>("output: ", error.what());
  }
  std::ofstream(path) << getpid() << "\n";  // the lock holds without the number in it
}

RunFolder::~RunFolder() { release(); }

void RunFolder::release() {
  if (!lock_) return;
  std::error_code ignored;
  fs::remove(path_ / ".lock", ignored);
  lock_.reset();
}

}  // namespace palate
