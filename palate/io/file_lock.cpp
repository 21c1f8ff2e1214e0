#include "palate/io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "palate/core/error.h"

namespace palate {

FileLock::FileLock(const std::filesystem::path& path, const Wait& wait, unsigned mode) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
  check<IoError>(file_ >= 0, path.string(), ": cannot be opened: ", std::strerror(errno));
  try {
    while (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
      check<IoError>(errno == EWOULDBLOCK || errno == EINTR, path.string(), ": cannot be locked: ", std::strerror(errno));
      wait();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  } catch (...) {
    ::close(file_);
    throw;
  }
}

FileLock::~FileLock() { ::close(file_); }

bool FileLock::still_at(const std::filesystem::path& path) const {
  struct stat held = {}, named = {};
  return ::fstat(file_, &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

}  // namespace palate
