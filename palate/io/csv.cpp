#include "palate/io/csv.h"

#include <algorithm>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

class Csv {
 public:
  Csv(std::string_view text, const std::string& origin) : text_(text), origin_(origin) {}

  std::vector<CsvRow> read() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row{{}, line_};
      bool more = true;
      while (more) more = read_field(row);
      if (row.fields.size() > 1 || !row.fields[0].empty()) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  // True when a comma follows.
  bool read_field(CsvRow& row) {
    std::string& field = row.fields.emplace_back();
    if (at_ < text_.size() && text_[at_] == '"') read_quoted(field);
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == ',') return true;
      if (c == '\n') {
        ++line_;
        return false;
      }
      if (c == '\r' && (at_ == text_.size() || text_[at_] == '\n')) continue;
      check<FormatError>(c != '"', origin_, ":", line_,
                         ": a double quote stands inside a field; put the whole field in quotes and double those within");
      field += c;
    }
    return false;
  }

  void read_quoted(std::string& field) {
    const int64_t begin = line_;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"' && (at_ + 1 == text_.size() || text_[at_ + 1] != '"')) {
        ++at_;
        check<FormatError>(at_ == text_.size() || text_[at_] == ',' || text_[at_] == '\n' || text_[at_] == '\r', origin_, ":", line_,
                           ": text follows a closing quote; put the whole field in quotes and double those within");
        return;
      }
      if (text_[at_] == '"') ++at_;
      if (text_[at_] == '\n') ++line_;
      field += text_[at_];
    }
    fail<FormatError>(origin_, ":", begin, ": a quoted field is never closed");
  }

  std::string_view text_;
  const std::string& origin_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& origin) { return Csv(text, origin).read(); }

std::ptrdiff_t CsvTable::column(const std::vector<std::string>& wanted) const {
  for (const std::string& name : wanted) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) return found - names.begin();
  }
  return -1;
}

CsvTable read_csv_table(const std::filesystem::path& path) {
  CsvTable table;
  table.rows = parse_csv(read_file(path), path.string());
  check<DataError>(!table.rows.empty(), path.string(), ": is empty, expected a first line with the columns' names");
  table.names = std::move(table.rows.front().fields);
  table.rows.erase(table.rows.begin());
  for (const CsvRow& row : table.rows) {
    check<DataError>(row.fields.size() == table.names.size(), path.string(), ":", row.line, ": expected ", table.names.size(),
                     " fields, found ", row.fields.size(), "; text with commas stands in double quotes");
  }
  return table;
}

}  // namespace palate
