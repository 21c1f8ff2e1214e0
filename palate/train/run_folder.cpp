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

// Why there can be no new folder of this path: what mkdir would say of its nearest parent that is there. "" when there can.
std::string why_no_folder(const fs::path& path) {
  std::error_code ignored;
  fs::path parent = fs::absolute(path);
  while (parent != parent.parent_path() && !fs::exists(parent, ignored)) parent = parent.parent_path();
  if (!fs::is_directory(parent, ignored)) return std::strerror(ENOTDIR);
  return access(parent.c_str(), W_OK | X_OK) == 0 ? "" : std::strerror(errno);
}

[[noreturn]] void refuse_in_use(const fs::path& folder) {
  fail<UsageError>("output: ", folder.string(), " is in use by ", owner(folder / ".lock"), ": wait for it, or name another folder");
}

// UsageError for a folder that a run has written to. What one leaves that failed before its first step does not count.
void refuse_run_in(const fs::path& folder) {
  std::error_code error;
  const uintmax_t logged = fs::file_size(folder / "metrics.jsonl", error);
  const bool no_step = error || logged == 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (no_step && (name == "metrics.jsonl" || name.starts_with("events.out."))) continue;
    if (name == ".lock" || name == "cache" || name == "config.resolved.toml") continue;
    fail<UsageError>("output: ", folder.string(), " holds a run already (", name,
                     "): go on with it (resume=latest; palate pretrain: --resume), or name another folder");
  }
}

}  // namespace

std::string remedy_of_write(const std::string& reason) {
  const auto says = [&](int number) { return reason.find(std::strerror(number)) != std::string::npos; };
  if (says(ENOSPC) || says(EDQUOT) || says(EFBIG)) return "Make room";
  return says(EACCES) || says(EPERM) || says(EROFS) ? "Make the folder writable" : "Put that right";
}

void RunFolder::check_place(const fs::path& path, RunStart start) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  check<UsageError>(!error, "output: ", path.string(), " cannot be a run folder (", error.message(), ")");
  check<UsageError>(!there || fs::is_directory(path), "output: ", path.string(), " is a file, expected a folder: name another");
  if (start == RunStart::resume) {
    check<UsageError>(there, "output: ", path.string(),
                      " does not exist, so there is nothing to resume; leave out resume to start a new run");
  } else if (there) {
    const auto refuse = [&] { refuse_in_use(path); };
    if (fs::exists(path / ".lock", error)) FileLock(path / ".lock", refuse, 0644);  // and lets go
    refuse_run_in(path);
  } else {
    const std::string reason = why_no_folder(path);
    check<IoError>(reason.empty(), "output: ", path.string(), " cannot be created (", reason, ")");
  }
}

RunFolder::RunFolder(fs::path path, RunStart start) : path_(std::move(path)) {
  check_place(path_, start);
  if (start == RunStart::fresh) {
    std::error_code error;
    fs::create_directories(path_, error);
    check<IoError>(!error, "output: ", path_.string(), " cannot be created (", error.message(), ")");
  }
  lock();
  if (start == RunStart::resume) return;
  try {
    refuse_run_in(path_);  // another process may have begun one in between
  } catch (...) {
    release();
    throw;
  }
}

void RunFolder::lock() {
  const fs::path path = path_ / ".lock";
  const auto refuse = [&] { refuse_in_use(path_); };
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
