// Comma-separated values as RFC 4180 has them: a field in double quotes may hold commas, line ends and doubled quotes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct CsvRow {
  std::vector<std::string> fields;
  int64_t line = 0;  // where it begins, from 1
};

// Blank lines are left out. FormatError for a quote that is never closed or stands inside a field; `origin` names the file.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& origin);

}  // namespace palate
