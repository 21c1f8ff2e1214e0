// Files that are there whole or not at all: written under a temporary name, synced, renamed.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace palate {

class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);  // IoError when the folder is missing or not writable
  ~AtomicFile();                                    // without commit(): the temporary file is removed
  AtomicFile(const AtomicFile&) = delete;
  void write(std::string_view bytes);  // IoError when the disk is full; nothing is left behind
  void commit();                       // sync, rename, sync the folder

 private:
  struct State;
  std::unique_ptr<State> state_;
};

void write_file(const std::filesystem::path& path, std::string_view bytes);  // atomic
std::string read_file(const std::filesystem::path& path);                    // IoError names the path and the reason

// With its parents, if it is not there yet. IoError names the reason.
void make_folder(const std::filesystem::path& path);

// UsageError unless the folder can be made: it does not exist, or is an empty folder.
void check_new_folder(const std::filesystem::path& folder);

// A folder made under a temporary name beside its place and renamed into it by commit(); replaces nothing.
class AtomicFolder {
 public:
  explicit AtomicFolder(std::filesystem::path path);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  const std::filesystem::path& work() const;  // write here
  void commit();                              // syncs every file in it, renames

 private:
  std::filesystem::path path_, work_;
};

// Removes a folder so that it is there whole or not at all even when the program is killed meanwhile: it gets a temporary
// name first. What cannot be removed stays, without an error.
void remove_folder(const std::filesystem::path& path);

// Appends one line and flushes it to the operating system. For logs: a crash loses at most the line being written.
class LineWriter {
 public:
  explicit LineWriter(const std::filesystem::path& path, bool append = true);
  ~LineWriter();
  void line(std::string_view text);

 private:
  int file_ = -1;
  std::filesystem::path path_;
};

}  // namespace palate
