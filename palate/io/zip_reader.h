// The table of a zip archive as torch.save writes it: entries that are stored, not compressed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct ZipEntry {
  std::string name;
  uint64_t begin = 0, size = 0;  // its bytes in the file
};

// `bytes` is the whole file. In the order of their bytes. FormatError for whatever is no such archive: compressed or encrypted
// entries, names that come twice, entries that reach outside the file or into each other (a zip bomb's means), several volumes.
std::vector<ZipEntry> read_zip_table(std::string_view bytes, const std::string& origin);

}  // namespace palate
