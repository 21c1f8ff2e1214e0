// A hash of everything that a data set's files hold, so that a changed file never meets an old cache.
#pragma once

#include <filesystem>
#include <string>

#include "palate/data/pairs.h"

namespace palate {

// SHA-256 over the contents of all files of the source in their order and of the pictures that they name; names and
// places of files do not matter. Hashing terabytes at each start would hurt, so MEMO (a JSON file, made when missing)
// remembers each file's hash with its size, times and inode; a file whose stamp differs is read again.
std::string content_hash(const PairSource& source, const std::filesystem::path& memo);

}  // namespace palate
