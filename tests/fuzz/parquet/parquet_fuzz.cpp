#include "palate/io/parquet.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "palate/core/error.h"
#include "tests/fuzz/targets.h"

namespace {

// Bytes that have a path, without a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : file_(memfd_create("fuzz", MFD_CLOEXEC)) {
    palate::fuzz::promise(file_ >= 0 && write(file_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
                          "no memory for a file");
  }
  ~MemoryFile() { close(file_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

}  // namespace

void palate::fuzz::parquet(std::string_view bytes) {
  const MemoryFile file(bytes);
  const auto names = ParquetTable::column_names(file.path());
  const ParquetTable table(file.path(), names);
  promise(table.rows() >= 0, "a negative number of rows");
  for (const auto& name : names) {
    for (int64_t row = 0; row < std::min<int64_t>(table.rows(), 12); row += 3) {
      try {
        table.bytes(name, row);
      } catch (const FormatError&) {
      }
      try {
        table.number(name, row);
      } catch (const FormatError&) {
      }
    }
  }
}
