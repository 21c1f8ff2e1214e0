// The table of a tar archive, so that its files can be read where they lie. Nothing is ever unpacked to disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct TarEntry {
  std::string name;
  uint64_t begin = 0, size = 0;  // its bytes in the archive
};

// `bytes` is the whole archive: v7, USTAR, GNU (long names) or pax (path, size). Its regular files in their order; folders, links
// and devices are left out. FormatError for whatever else: compressed archives, wrong checksums, files that reach beyond the
// end, sparse files, multi-volume archives.
std::vector<TarEntry> read_tar_table(std::string_view bytes, const std::string& origin);

}  // namespace palate
