// A run's folder, held by one process at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "palate/io/file_lock.h"

namespace palate {

// What to do about a write that failed for this reason: "Make room".
std::string remedy_of_write(const std::string& reason);

enum class RunStart { fresh, resume };

class RunFolder {
 public:
  // fresh: makes the folder; UsageError when it holds something already (and says how to go on with it).
  // resume: UsageError when it is not there. Both: UsageError when another process works in it, IoError without permission.
  // The lock (FOLDER/.lock, which names the process) goes with the process, however it ends.
  RunFolder(std::filesystem::path path, RunStart start);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Throws what the constructor would, but for another process that works in the folder. Makes nothing.
  static void check_place(const std::filesystem::path& path, RunStart start);

 private:
  void lock();
  void release();
  std::filesystem::path path_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace palate
