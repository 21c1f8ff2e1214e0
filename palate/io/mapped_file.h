// A whole file as memory, read only as far as it is looked at.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

namespace palate {

class MappedFile {
 public:
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  char* data() const { return data_; }  // copy-on-write: writing to it never reaches the file
  size_t size() const { return size_; }
  std::string_view bytes() const { return {data_, size_}; }
  // Hands the whole pages of [begin, end) back to the system; a later read finds the file's bytes again.
  void forget(size_t begin, size_t end) const;

 private:
  friend std::shared_ptr<MappedFile> map_file(const std::filesystem::path&, const char*);
  MappedFile() = default;
  char* data_ = nullptr;
  size_t size_ = 0;
};

// IoError when it cannot be opened; FormatError, with `kind` as the kind of file that was expected, when it is empty or no regular file.
std::shared_ptr<MappedFile> map_file(const std::filesystem::path& path, const char* kind);

}  // namespace palate
