// The files behind a PairSource: which they are, and one reader for each kind.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/data/pairs.h"

namespace palate {

using SourceList = std::vector<std::unique_ptr<PairSource>>;

// config.pairs or config.images, opened one by one, folders and brace-expanded names replaced by what they stand for, sorted
// by name. UsageError when a path is missing, of another kind, or a folder holds nothing of use (it says what the folder does hold).
SourceList open_pair_files(const DataConfig& config);
SourceList open_image_files(const DataConfig& config);

// Pick-a-Pic: columns jpg_0, jpg_1 (binary or an Image struct), label_0 (1, 0, or 0.5 for a tie), caption, optionally has_label;
// or TRL's names: prompt, chosen, rejected.
std::unique_ptr<PairSource> open_parquet_pairs(const std::filesystem::path& path, const std::string& ties);
// One object a line: prompt, chosen, rejected (paths from the file's own folder), optionally confidence in [0.5, 1].
std::unique_ptr<PairSource> open_jsonl_pairs(const std::filesystem::path& path, const std::string& ties);
// Folders win/ and lose/ (w/ and l/, chosen/ and rejected/) with pictures of equal names; captions beside the winners. `path` holds
// them, or folders that do (N_caption: repeats and caption, as for pictures alone). None when there are no such folders.
std::optional<std::pair<std::filesystem::path, std::filesystem::path>> pair_folder(
    const std::filesystem::path& path);  // the two of them, in `path` itself
SourceList open_folder_pairs(const std::filesystem::path& path, const DataConfig& config);

// How the pictures of one folder are read; kohya's subsets have one each.
struct FolderOptions {
  std::string caption;            // of pictures that bring none
  std::string caption_extension;  // "": .txt and .caption
  std::string caption_column;     // of metadata files
  int64_t repeats = 1;
  bool recursive = true, concepts = true;  // concepts: N_caption folders are kohya's repeats and caption
  std::string prefix, suffix;              // put before and behind each caption with a blank
  bool shuffle = false;                    // other orders of a caption's tags take turns with it, after the first keep_tokens
  int64_t keep_tokens = 0;
  std::string separator = ",";
  std::shared_ptr<const ImageRule> rule;
};
FolderOptions folder_options(const DataConfig& config);
std::pair<int64_t, std::string> concept_of(const std::string& name);  // "10_sks dog" -> 10 and "sks dog"; 0 and "" for other names
// Pictures with captions: files beside them, metadata.jsonl or metadata.csv, N_caption folders, or one caption for all.
// UsageError when there are no pictures; DataError naming the first picture without a caption and how many there are.
std::unique_ptr<PairSource> open_image_folder(const std::filesystem::path& path, const FolderOptions& options);
// A .jsonl or .csv file with one picture a line: a path from the file's folder (file_name, image, image_path or path) and a caption.
std::unique_ptr<PairSource> open_image_list(const std::filesystem::path& path, const DataConfig& config);
// WebDataset shard. FormatError for a file that is no plain tar.
std::unique_ptr<PairSource> open_webdataset(const std::filesystem::path& path, const DataConfig& config);
// Pictures in a parquet column, as Hugging Face's datasets writes them or as plain bytes.
std::unique_ptr<PairSource> open_parquet_images(const std::filesystem::path& path, const DataConfig& config);
// kohya's dataset TOML: one source for each subset.
SourceList open_kohya(const std::filesystem::path& path, const DataConfig& config);

// Sets the other orders of the caption's tags (data.shuffle_caption) of a record whose prompt is set.
void add_wordings(PairRecord& record, const DataConfig& config);
// What PairSource::content says of how often and in which orders captions come.
std::string caption_settings(const DataConfig& config);
// Finishes a record whose prompt and images are set: checks the prompt (DataError: empty, not UTF-8) and sets the id.
void finish_record(PairRecord& record);

std::string lower_suffix(const std::filesystem::path& path);                             // ".jpg"
bool is_picture(const std::filesystem::path& path);                                      // by its suffix: .jpg .jpeg .png .webp
std::string show_entries(const std::filesystem::path& folder);                           // "3 entries: a.txt, images/, notes.md"
std::string read_picture(const std::filesystem::path& path, const std::string& origin);  // DataError: missing or empty

}  // namespace palate
