// Comma-separated values as RFC 4180 has them: a field in double quotes may hold commas, line ends and doubled quotes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct CsvRow {
  std::vector<std::string> fields;
  int64_t line = 0;  // where it begins, from 1
};

// A file whose first line names its columns.
struct CsvTable {
  std::vector<std::string> names;
  std::vector<CsvRow> rows;  // each with as many fields as there are names
  // The first column that is called one of these, or -1.
  std::ptrdiff_t column(const std::vector<std::string>& wanted) const;
};

// Blank lines are left out. FormatError for a quote that is never closed or stands inside a field; `origin` names the file.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& origin);
// DataError for an empty file and for a row with more or fewer fields than the first line.
CsvTable read_csv_table(const std::filesystem::path& path);

}  // namespace palate
