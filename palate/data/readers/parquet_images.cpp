// Pictures in a parquet column: Hugging Face's Image struct {bytes, path}, or plain bytes.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/data/readers/captions.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/json.h"
#include "palate/io/parquet.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// The columns that the footer of Hugging Face's datasets calls images.
std::vector<std::string> image_features(const fs::path& path) {
  std::vector<std::string> found;
  const std::string text = ParquetTable::metadata(path, "huggingface");
  if (text.empty()) return found;
  Json json = parse_json(text, path.string() + " (footer)");
  for (const char* key : {"info", "features"}) {
    if (!json.is_object() || !json.contains(key)) return found;
    json = Json(json[key]);
  }
  if (!json.is_object()) return found;
  for (const auto& [name, feature] : json.items()) {
    if (feature.is_object() && feature.contains("_type") && feature["_type"] == "Image") found.push_back(name);
  }
  return found;
}

class ParquetImages : public PairSource {
 public:
  ParquetImages(const fs::path& path, const DataConfig& config) : path_(path), config_(config) {
    const auto names = ParquetTable::column_names(path);
    image_ = choose(names, config.image_column, "image", usual_images());
    check<UsageError>(!image_.empty(), path.string(), ": which column holds the pictures? It has ", one_of(names),
                      ": name it as data.image_column",
                      std::find(names.begin(), names.end(), "jpg_0") != names.end() ? " (pairs of pictures are named by data.pairs)" : "");
    text_ = choose(names, config.caption_column, "caption", caption_names());
    check<UsageError>(!text_.empty() || !config.caption.empty(), path.string(), ": which column holds the captions? It has ", one_of(names),
                      ": name it as data.caption_column, or give one caption for all as data.caption");
    for (const std::string& name : note_names()) {
      if (std::find(names.begin(), names.end(), name) != names.end()) notes_.push_back(name);
    }
    rows_ = table().rows();
  }

  int64_t rows() const override { return rows_; }
  std::string content(const HashFile& hash) const override {
    std::string text = concat(hash(path_), "\n", image_, "\n", text_, "\n", config_.caption, "\n", caption_settings(config_));
    for (const std::string& name : notes_) text += "\n" + name;
    return text;
  }
  void rest() override {
    table_.reset();
    notes_table_.reset();
  }

  void notes(int64_t row, PairRecord& record) override {
    record.origin = concat(path_.string(), " row ", row);
    record.repeats = config_.num_repeats;
    if (notes_.empty()) return;
    if (!notes_table_) notes_table_.emplace(path_, notes_);
    for (const std::string& name : notes_) record.notes.say(name, text_of(*notes_table_, name, row));
  }

  bool read(int64_t row, PairRecord& record) override {
    record = {};
    record.kind = PairRecord::Kind::single;
    record.origin = concat(path_.string(), " row ", row);
    record.win_name = image_;
    auto bytes = table().bytes(image_, row);
    check<DataError>(bytes.has_value() && !bytes->empty(), record.origin, ": ", image_,
                     " holds no picture (the bytes must be in the file: a path in it is never opened)");
    check<DataError>(bytes->size() > 1000 || !is_picture(*bytes), record.origin, ": ", image_, " holds the path '", *bytes,
                     "', not a picture: a path in it is never opened; list such pictures in a .jsonl file");
    record.win = std::move(*bytes);
    if (!text_.empty()) record.prompt = table().bytes(text_, row).value_or("");
    if (record.prompt.empty()) record.prompt = config_.caption;
    notes(row, record);
    add_wordings(record, config_);
    finish_record(record);
    return true;
  }

 private:
  // A text, a number or a bool; "" for null.
  static std::string text_of(const ParquetTable& table, const std::string& column, int64_t row) {
    try {
      return table.bytes(column, row).value_or("");
    } catch (const FormatError&) {
      const auto number = table.number(column, row);
      return number ? concat(*number) : "";
    }
  }

  std::string choose(const std::vector<std::string>& names, const std::string& asked, const char* what,
                     const std::vector<std::string>& usual) const {
    const auto there = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    check<UsageError>(asked.empty() || there(asked), path_.string(), ": has no column '", asked, "', named by data.", what, "_column",
                      did_you_mean(asked, names), "; it has ", one_of(names));
    if (!asked.empty()) return asked;
    for (const std::string& name : usual) {
      if (there(name)) return name;
    }
    return "";
  }

  std::vector<std::string> usual_images() const {
    const auto features = image_features(path_);
    if (features.size() == 1) return features;
    return {"image", "jpg", "jpeg", "png", "webp", "img", "picture"};
  }

  const ParquetTable& table() {
    if (!table_) table_.emplace(path_, text_.empty() ? std::vector<std::string>{image_} : std::vector<std::string>{image_, text_});
    return *table_;
  }

  fs::path path_;
  DataConfig config_;
  std::string image_, text_;
  std::vector<std::string> notes_;  // columns
  int64_t rows_ = 0;
  std::optional<ParquetTable> table_, notes_table_;
};

}  // namespace

std::unique_ptr<PairSource> open_parquet_images(const fs::path& path, const DataConfig& config) {
  return std::make_unique<ParquetImages>(path, config);
}

}  // namespace palate
