// An exclusive lock on a file (flock): it ends with the process, however that ends. The file stays.
#pragma once

#include <filesystem>
#include <functional>

namespace palate {

class FileLock {
 public:
  // Called again and again, ten times a second, while another holds the lock; what it throws ends the wait.
  using Wait = std::function<void()>;

  // Makes the file when it is not there. IoError when it cannot be opened or locked. `mode` is of a new file, before the umask.
  FileLock(const std::filesystem::path& path, const Wait& wait, unsigned mode = 0666);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // False when the file of that name was removed or replaced between opening and locking: then another may hold the new one.
  bool still_at(const std::filesystem::path& path) const;

 private:
  int file_ = -1;
};

}  // namespace palate
