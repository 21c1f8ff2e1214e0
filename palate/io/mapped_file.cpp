#include "palate/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "palate/core/error.h"

namespace palate {

MappedFile::~MappedFile() {
  if (data_) munmap(data_, size_);
}

void MappedFile::forget(size_t begin, size_t end) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(data_);
  const uintptr_t first = (start + begin + page - 1) / page * page, last = (start + end) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);  // neighbours share the other pages
}

std::shared_ptr<MappedFile> map_file(const std::filesystem::path& path, const char* kind) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check<IoError>(file >= 0, path.string(), ": cannot be opened: ", std::strerror(errno));
  struct stat info {};
  fstat(file, &info);
  const auto size = static_cast<size_t>(info.st_size);
  void* data = size && S_ISREG(info.st_mode) ? mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0) : nullptr;
  const int saved = errno;
  close(file);
  check<IoError>(data != MAP_FAILED, path.string(), ": cannot be mapped: ", std::strerror(saved));
  check<FormatError>(data != nullptr, path.string(), ": is too short for a ", kind, " (", size, " bytes), or no regular file");
  std::shared_ptr<MappedFile> mapping(new MappedFile);
  mapping->data_ = static_cast<char*>(data);
  mapping->size_ = size;
  return mapping;
}

}  // namespace palate
