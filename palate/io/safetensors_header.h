// The header of a safetensors file, checked. Apart from the mapping, so that it can be fuzzed without files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes after the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // ascending in the file
  std::map<std::string, std::string> metadata;
  uint64_t data_start = 0;
};

// `start` is the file's beginning (at least the header when the file has one), `file_size` the whole size in bytes.
// FormatError for anything that the rules of docs/formats.md, section 1, refuse.
SafetensorsHeader parse_safetensors_header(std::string_view start, uint64_t file_size, const std::string& origin);

// Bits of one element, 0 for an unknown dtype; and its place in the reference's order (larger dtypes are written first).
uint64_t safetensors_bits(std::string_view dtype);
int safetensors_rank(std::string_view dtype);

}  // namespace palate
