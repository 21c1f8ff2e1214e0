#include <cstdio>

#include "palate/core/error.h"
#include "palate/io/tar_reader.h"
#include "tests/fuzz/targets.h"

namespace palate::fuzz {
namespace {

void read(std::string_view bytes) {
  uint64_t end = 0;
  for (const auto& entry : read_tar_table(bytes, "fuzz")) {
    // What is accepted may be read, and lies behind what came before.
    promise(entry.begin <= bytes.size() && entry.size <= bytes.size() - entry.begin, "a file reaches outside the archive");
    promise(entry.begin >= end + 512, "two files lie in one place");
    promise(entry.name.find('\0') == std::string::npos, "a name holds a zero");
    end = entry.begin + entry.size;
  }
}

// Changed headers with their right checksums, which chance would not find.
std::string with_checksums(std::string bytes) {
  for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    bytes.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (size_t i = at; i < at + 512; ++i) sum += static_cast<unsigned char>(bytes[i]);
    char digits[16];
    std::snprintf(digits, sizeof digits, "%06o", sum);
    bytes.replace(at + 148, 6, digits, 6);
  }
  return bytes;
}

}  // namespace

void tar(std::string_view bytes) {
  try {
    read(bytes);
  } catch (const Error&) {
  }
  read(with_checksums(std::string(bytes)));
}

}  // namespace palate::fuzz
