#include <algorithm>
#include <optional>

#include "palate/core/error.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/parquet.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// The columns of one way to write pairs down. Without a label the first is the chosen one.
struct Layout {
  std::string caption = "caption", first = "jpg_0", second = "jpg_1", label = "label_0", has_label;

  std::vector<std::string> columns() const {
    std::vector<std::string> all = {caption, first, second};
    for (const std::string& name : {label, has_label}) {
      if (!name.empty()) all.push_back(name);
    }
    return all;
  }
};

// Pick-a-Pic's, or TRL's prompt, chosen, rejected. Where neither is whole, the reader names what Pick-a-Pic's lacks.
Layout layout_of(const fs::path& path) {
  const auto names = ParquetTable::column_names(path);
  const auto has = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  Layout layout;
  if (has("has_label")) layout.has_label = "has_label";
  if (has("jpg_0") || !has("chosen") || !has("rejected")) return layout;
  const char* caption = has("prompt") ? "prompt" : has("caption") ? "caption" : "text";
  return {caption, "chosen", "rejected", "", ""};
}

class ParquetPairs : public PairSource {
 public:
  ParquetPairs(const fs::path& path, const std::string& ties) : path_(path), layout_(layout_of(path)), keep_ties_(ties == "soft") {
    rows_ = table().rows();
  }

  int64_t rows() const override { return rows_; }
  std::string content(const HashFile& hash) const override { return hash(path_); }
  void rest() override { table_.reset(); }

  bool read(int64_t row, PairRecord& record) override {
    record = {};
    record.origin = concat(path_.string(), " row ", row);
    if (!layout_.has_label.empty() && table().number(layout_.has_label, row).value_or(0) == 0) {
      record.kind = PairRecord::Kind::unlabelled;
      return false;
    }
    const double label = layout_.label.empty() ? 1 : first_wins(row, record.origin);
    if (label == 0.5) {
      record.kind = PairRecord::Kind::tie;
      record.preference = 0.5;
      if (!keep_ties_) return false;
    }
    const bool swap = label == 0;
    record.prompt = table().bytes(layout_.caption, row).value_or("");
    record.win_name = swap ? layout_.second : layout_.first;
    record.lose_name = swap ? layout_.first : layout_.second;
    record.win = image(record.win_name, row, record.origin);
    record.lose = image(record.lose_name, row, record.origin);
    finish_record(record);
    return true;
  }

 private:
  const ParquetTable& table() {
    if (!table_) table_.emplace(path_, layout_.columns());
    return *table_;
  }

  double first_wins(int64_t row, const std::string& origin) {
    const auto label = table().number("label_0", row);
    check<DataError>(label.has_value(), origin, ": label_0 is null, expected 1, 0 or, for a tie, 0.5");
    check<DataError>(*label == 0 || *label == 0.5 || *label == 1, origin, ": label_0 is ", *label, ", expected 1, 0 or, for a tie, 0.5");
    return *label;
  }

  std::string image(const std::string& column, int64_t row, const std::string& origin) {
    auto bytes = table().bytes(column, row);
    check<DataError>(bytes.has_value() && !bytes->empty(), origin, ": ", column, " holds no image");
    return std::move(*bytes);
  }

  fs::path path_;
  Layout layout_;
  std::optional<ParquetTable> table_;
  int64_t rows_ = 0;
  bool keep_ties_;
};

}  // namespace

std::unique_ptr<PairSource> open_parquet_pairs(const fs::path& path, const std::string& ties) {
  return std::make_unique<ParquetPairs>(path, ties);
}

}  // namespace palate
