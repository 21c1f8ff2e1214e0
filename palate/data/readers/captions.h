// Captions: out of files, and in other orders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "palate/data/picture_notes.h"
#include "palate/io/json.h"

namespace palate {

// The first line without blanks at its ends (and without a byte order mark), as kohya's scripts read a caption file.
std::string first_line(std::string_view text);

struct ListedPicture {
  std::string caption;
  PictureNotes notes;
};
// What FOLDER/metadata.jsonl or FOLDER/metadata.csv says by file_name, which must stay below the folder; nothing without such a
// file. The caption's column is `column`, or else text, caption or prompt. DataError names file and line.
std::map<std::string, ListedPicture> read_metadata(const std::filesystem::path& folder, const std::string& column);
std::map<std::string, std::string> metadata_captions(const std::filesystem::path& folder, const std::string& column);  // of it

struct CsvTable;
struct CsvRow;
PictureNotes csv_notes(const CsvTable& table, const CsvRow& row);

// The names that a caption's column has where none is given.
const std::vector<std::string>& caption_names();
// The caption in a JSON object, or "" where it has none (null, another type, no such key).
std::string json_caption(const Json& object, const std::string& column);

constexpr int64_t other_orders = 7;  // of a shuffled caption's tags, whose text states are cached besides that of the file's own

// `count` other orders of the caption's parts between separators; the first `keep` stay. Keyed by the caption alone. None when
// there are not two parts to exchange; orders may repeat.
std::vector<std::string> shuffled_captions(const std::string& caption, const std::string& separator, int64_t keep, int64_t count);

}  // namespace palate
