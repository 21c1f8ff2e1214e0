// The files behind a PairSource: which they are, and one reader for each kind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "palate/data/pairs.h"

namespace palate {

enum class PairFileKind { parquet, jsonl };
struct PairFile {
  std::filesystem::path path;
  PairFileKind kind;
};

// config.pairs with each folder replaced by the .parquet and .jsonl files in it, sorted by name. UsageError when a path
// is missing, of another kind, or a folder holds no such file (it says what the folder does hold).
std::vector<PairFile> list_pair_files(const DataConfig& config);

std::unique_ptr<PairSource> open_pair_file(const PairFile& file, const std::string& ties);
// Pick-a-Pic: columns jpg_0, jpg_1 (binary or an Image struct), label_0 (1, 0, or 0.5 for a tie), caption, optionally has_label.
std::unique_ptr<PairSource> open_parquet_pairs(const std::filesystem::path& path, const std::string& ties);
// One object a line: prompt, chosen, rejected (paths from the file's own folder), optionally confidence in [0.5, 1].
std::unique_ptr<PairSource> open_jsonl_pairs(const std::filesystem::path& path, const std::string& ties);

// The images that a JSONL file names, in order; lines that cannot be read name none.
std::vector<std::filesystem::path> jsonl_images(const std::filesystem::path& path);

// Finishes a record whose prompt and images are set: checks the prompt (DataError: empty, not UTF-8) and sets the id.
void finish_record(PairRecord& record);

}  // namespace palate
