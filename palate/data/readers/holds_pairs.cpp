// Pairs or pictures alone, without reading them.
#include <algorithm>
#include <fstream>

#include "palate/data/readers/pair_files.h"
#include "palate/io/parquet.h"

namespace palate {

namespace fs = std::filesystem;

bool holds_pairs(const fs::path& path) {
  if (fs::is_directory(path)) {
    if (pair_folder(path)) return true;
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.is_directory() && !entry.is_symlink() && pair_folder(entry.path())) return true;
      const bool table = lower_suffix(entry.path()) == ".parquet" ||
                         (lower_suffix(entry.path()) == ".jsonl" && entry.path().filename() != "metadata.jsonl");
      if (entry.is_regular_file() && table && holds_pairs(entry.path())) return true;
    }
    return false;
  }
  if (lower_suffix(path) == ".parquet") {
    const auto names = ParquetTable::column_names(path);
    return std::any_of(names.begin(), names.end(), [](const std::string& name) { return name == "jpg_0" || name == "chosen"; });
  }
  if (lower_suffix(path) != ".jsonl") return false;
  std::string line;
  std::ifstream file(path);
  while (line.empty() && std::getline(file, line)) {
  }
  return line.find("\"chosen\"") != std::string::npos;
}

}  // namespace palate
