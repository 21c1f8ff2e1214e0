#include "palate/data/readers/captions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/text.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/atomic_file.h"
#include "palate/io/csv.h"

namespace palate {
namespace {

namespace fs = std::filesystem;
using Listed = std::map<std::string, ListedPicture>;

void note(Listed& listed, const std::string& where, const std::string& name, ListedPicture picture) {
  const fs::path path = fs::path(name).lexically_normal();
  check<DataError>(!name.empty() && path.is_relative() && *path.begin() != "..", where, ": file_name is '", name,
                   "', expected a path below the file's own folder");
  check<DataError>(listed.emplace(path.generic_string(), std::move(picture)).second, where, ": names '", name, "' a second time");
}

Listed read_metadata_lines(const fs::path& path, const std::string& column) {
  Listed listed;
  read_jsonl(path, [&](const Json& line, int64_t number) {
    const std::string where = concat(path.string(), ":", number);
    check<DataError>(line.is_object() && line.contains("file_name") && line["file_name"].is_string(), where,
                     ": expected an object with file_name and a caption");
    const std::string caption = json_caption(line, column);
    check<DataError>(!caption.empty(), where, ": expected a caption in '", column.empty() ? one_of(caption_names()) : column,
                     "', found none (another key is named by data.caption_column)");
    note(listed, where, line["file_name"].get<std::string>(), {caption, json_notes(line)});
  });
  return listed;
}

Listed read_metadata_table(const fs::path& path, const std::string& column) {
  const CsvTable table = read_csv_table(path);
  const std::vector<std::string> texts = column.empty() ? caption_names() : std::vector<std::string>{column};
  const auto place = [&](const std::vector<std::string>& wanted) {
    const auto found = table.column(wanted);
    check<DataError>(found >= 0, path.string(), ":1: expected a column '", one_of(wanted), "', found ", one_of(table.names),
                     " (a caption's column is named by data.caption_column)");
    return static_cast<size_t>(found);
  };
  const size_t file = place({"file_name"}), text = place(texts);
  Listed listed;
  for (const CsvRow& row : table.rows) {
    const std::string where = concat(path.string(), ":", row.line);
    check<DataError>(!row.fields[text].empty(), where, ": the caption is empty");
    note(listed, where, row.fields[file], {row.fields[text], csv_notes(table, row)});
  }
  return listed;
}

}  // namespace

std::string first_line(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return std::string(stripped(text.substr(0, text.find('\n'))));
}

PictureNotes csv_notes(const CsvTable& table, const CsvRow& row) {
  PictureNotes notes;
  for (size_t i = 0; i < table.names.size(); ++i) notes.say(table.names[i], row.fields[i]);
  return notes;
}

std::map<std::string, ListedPicture> read_metadata(const fs::path& folder, const std::string& column) {
  const fs::path lines = folder / "metadata.jsonl", table = folder / "metadata.csv";
  const bool has_lines = fs::is_regular_file(lines), has_table = fs::is_regular_file(table);
  check<DataError>(!has_lines || !has_table, folder.string(), ": holds metadata.jsonl and metadata.csv: keep one");
  return has_lines ? read_metadata_lines(lines, column) : has_table ? read_metadata_table(table, column) : Listed();
}

std::map<std::string, std::string> metadata_captions(const fs::path& folder, const std::string& column) {
  std::map<std::string, std::string> captions;
  for (auto& [name, listed] : read_metadata(folder, column)) captions[name] = listed.caption;
  return captions;
}

const std::vector<std::string>& caption_names() {
  static const std::vector<std::string> names = {"text", "caption", "prompt"};
  return names;
}

std::string json_caption(const Json& object, const std::string& column) {
  for (const std::string& name : column.empty() ? caption_names() : std::vector<std::string>{column}) {
    const auto found = object.find(name);
    if (found != object.end() && found->is_string() && !found->get<std::string>().empty()) return found->get<std::string>();
  }
  return "";
}

std::vector<std::string> shuffled_captions(const std::string& caption, const std::string& separator, int64_t keep, int64_t count) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= caption.size();) {
    const size_t end = std::min(caption.find(separator, begin), caption.size());
    parts.emplace_back(stripped(std::string_view(caption).substr(begin, end - begin)));
    begin = end + separator.size();
  }
  const auto total = static_cast<int64_t>(parts.size());
  std::vector<std::string> found;
  if (total - keep < 2) return found;
  for (int64_t i = 0; i < count; ++i) {
    const auto order = Generator({.seed = 0, .sample = stable_hash(caption), .draw = static_cast<uint64_t>(i), .purpose = Purpose::shuffle})
                           .permutation(total - keep);
    std::string text;
    for (int64_t part = 0; part < total; ++part) {
      text += (part ? ", " : "") + parts[static_cast<size_t>(part < keep ? part : keep + order[static_cast<size_t>(part - keep)])];
    }
    found.push_back(std::move(text));
  }
  return found;
}

std::string caption_settings(const DataConfig& config) {
  return concat(config.num_repeats, " ", config.shuffle_caption, config.keep_tokens);
}

void add_wordings(PairRecord& record, const DataConfig& config) {
  if (config.shuffle_caption) record.wordings = shuffled_captions(record.prompt, ",", config.keep_tokens, other_orders);
}

void finish_record(PairRecord& record) {
  check<DataError>(!record.prompt.empty(), record.origin, ": the prompt is empty");
  try {
    (void)Json(record.prompt + record.notes.base_prompt).dump();  // the cache's own files are JSON, so its rule for UTF-8 is what counts
  } catch (const nlohmann::json::exception&) {
    fail<DataError>(record.origin, ": the prompt is not valid UTF-8");
  }
  record.id = mix(mix(stable_hash(record.prompt), stable_hash(record.win)), stable_hash(record.lose));
  if (record.kind != PairRecord::Kind::single || record.notes.label >= 0) return;
  record.preference = -1;
  record.id = mix(record.id, stable_hash("thumb down"));  // what one person likes another one may not: no duplicates
}

}  // namespace palate
