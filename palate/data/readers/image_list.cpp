// Pictures with captions listed in a file: one JSON object a line, or CSV with a first line of names.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/data/readers/captions.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/atomic_file.h"
#include "palate/io/csv.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& picture_names() {
  static const std::vector<std::string> names = {"file_name", "image", "image_path", "path"};
  return names;
}

struct ImageLine {
  std::string where, picture, caption;
  PictureNotes notes;
};

class ImageList : public PairSource {
 public:
  ImageList(const fs::path& path, const DataConfig& config) : path_(path), config_(config) {
    lower_suffix(path) == ".csv" ? read_csv() : read_jsonl_lines();
    check<UsageError>(!lines_.empty(), "data.images: '", path.string(), "' lists no picture");
  }

  int64_t rows() const override { return static_cast<int64_t>(lines_.size()); }

  bool read(int64_t row, PairRecord& record) override {
    const ImageLine& line = lines_[static_cast<size_t>(row)];
    record = {};
    record.kind = PairRecord::Kind::single;
    record.origin = line.where;
    record.win_name = line.picture;
    record.win = read_picture(path_.parent_path() / line.picture, line.where);
    record.prompt = line.caption;
    record.notes = line.notes;
    record.repeats = config_.num_repeats;
    add_wordings(record, config_);
    finish_record(record);
    return true;
  }

  void notes(int64_t row, PairRecord& record) override {
    record.origin = lines_[static_cast<size_t>(row)].where;
    record.notes = lines_[static_cast<size_t>(row)].notes;
    record.repeats = config_.num_repeats;
  }

  std::string content(const HashFile& hash) const override {
    std::string text = caption_settings(config_);
    for (const ImageLine& line : lines_)
      text += concat("\n", hash(path_.parent_path() / line.picture), " ", line.caption, line.notes.content());
    return text;
  }

 private:
  std::vector<std::string> caption_columns() const {
    return config_.caption_column.empty() ? caption_names() : std::vector<std::string>{config_.caption_column};
  }

  void add(ImageLine line) {
    if (line.caption.empty()) line.caption = config_.caption;
    check<DataError>(!line.picture.empty(), line.where, ": expected a picture's path in '", one_of(picture_names()), "', found none");
    check<DataError>(!line.caption.empty(), line.where, ": expected a caption in '", one_of(caption_columns()),
                     "', found none (another key is named by data.caption_column)");
    lines_.push_back(std::move(line));
  }

  void read_jsonl_lines() {
    read_jsonl(path_, [&](const Json& object, int64_t number) {
      ImageLine line{concat(path_.string(), ":", number), "", "", {}};
      check<DataError>(object.is_object(), line.where, ": expected an object with a picture's path and a caption, found ",
                       object.type_name());
      check<UsageError>(!object.contains("chosen"), line.where, ": lists a preference pair: name the file by data.pairs");
      for (const std::string& name : picture_names()) {
        if (line.picture.empty() && object.contains(name) && object[name].is_string()) line.picture = object[name].get<std::string>();
      }
      line.caption = json_caption(object, config_.caption_column);
      line.notes = json_notes(object);
      add(std::move(line));
    });
  }

  void read_csv() {
    const CsvTable table = read_csv_table(path_);
    const auto picture = table.column(picture_names()), caption = table.column(caption_columns());
    check<DataError>(picture >= 0 && (caption >= 0 || !config_.caption.empty()), path_.string(), ":1: expected a column '",
                     one_of(picture < 0 ? picture_names() : caption_columns()), "', found ", one_of(table.names),
                     " (a caption's column is named by data.caption_column)");
    for (const CsvRow& row : table.rows) {
      add({concat(path_.string(), ":", row.line), row.fields[static_cast<size_t>(picture)],
           caption < 0 ? "" : row.fields[static_cast<size_t>(caption)], csv_notes(table, row)});
    }
  }

  fs::path path_;
  DataConfig config_;
  std::vector<ImageLine> lines_;
};

}  // namespace

std::unique_ptr<PairSource> open_image_list(const fs::path& path, const DataConfig& config) {
  return std::make_unique<ImageList>(path, config);
}

}  // namespace palate
