#include <algorithm>
#include <optional>

#include "palate/core/error.h"
#include "palate/data/pair_files.h"
#include "palate/io/parquet.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> wanted_columns(const fs::path& path) {
  std::vector<std::string> wanted = {"caption", "jpg_0", "jpg_1", "label_0"};
  const auto names = ParquetTable::column_names(path);
  if (std::find(names.begin(), names.end(), "has_label") != names.end()) wanted.push_back("has_label");
  return wanted;
}

class ParquetPairs : public PairSource {
 public:
  ParquetPairs(const fs::path& path, const std::string& ties)
      : path_(path), columns_(wanted_columns(path)), keep_ties_(ties == "soft") {
    rows_ = table().rows();
  }

  int64_t rows() const override { return rows_; }
  std::string content(const HashFile& hash) const override { return hash(path_); }
  void rest() override { table_.reset(); }

  bool read(int64_t row, PairRecord& record) override {
    record = {};
    record.origin = concat(path_.string(), " row ", row);
    if (columns_.size() == 5 && table().number("has_label", row).value_or(0) == 0) {
      record.kind = PairRecord::Kind::unlabelled;
      return false;
    }
    const double label = first_wins(row, record.origin);
    if (label == 0.5) {
      record.kind = PairRecord::Kind::tie;
      record.preference = 0.5;
      if (!keep_ties_) return false;
    }
    const bool swap = label == 0;
    record.prompt = table().bytes("caption", row).value_or("");
    record.win_name = swap ? "jpg_1" : "jpg_0";
    record.lose_name = swap ? "jpg_0" : "jpg_1";
    record.win = image(record.win_name, row, record.origin);
    record.lose = image(record.lose_name, row, record.origin);
    finish_record(record);
    return true;
  }

 private:
  const ParquetTable& table() {
    if (!table_) table_.emplace(path_, columns_);
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
  std::vector<std::string> columns_;
  std::optional<ParquetTable> table_;
  int64_t rows_ = 0;
  bool keep_ties_;
};

}  // namespace

std::unique_ptr<PairSource> open_parquet_pairs(const fs::path& path, const std::string& ties) {
  return std::make_unique<ParquetPairs>(path, ties);
}

}  // namespace palate
