#include "palate/io/csv.h"
#include "tests/fuzz/targets.h"

void palate::fuzz::csv(std::string_view bytes) {
  size_t letters = 0;
  int64_t line = 0;
  for (const auto& row : parse_csv(bytes, "fuzz")) {
    promise(!row.fields.empty() && row.line > line, "a row is empty or out of order");
    line = row.line;
    for (const auto& field : row.fields) letters += field.size();
  }
  promise(letters <= bytes.size(), "fields hold more than the text");
}
