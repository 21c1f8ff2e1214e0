#include "palate/io/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

constexpr int deepest = 200;  // nested arrays and objects: a parser that recurses must not overflow its stack

std::string place(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return std::to_string(line) + ":" + std::to_string(before.size() - start + 1);
}

void check_depth(std::string_view text, const std::string& origin) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      check<FormatError>(++depth <= deepest, origin, ":", place(text, i), ": JSON nested deeper than ", deepest, " levels is refused");
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) {
  check_depth(text, origin);
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& error) {
    std::string why = error.what();
    const size_t colon = why.find("syntax error");
    if (colon != std::string::npos) why = why.substr(colon);
    fail<FormatError>(origin, ":", place(text, error.byte > 0 ? error.byte - 1 : 0), ": is not JSON: ", why);
  }
}

Json read_json(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

void write_json(const std::filesystem::path& path, const Json& value) {
  write_file(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void read_jsonl(const std::filesystem::path& path, const std::function<void(const Json&, int64_t)>& use) {
  std::istringstream lines(read_file(path));
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    check_depth(line, path.string());
    const Json value = Json::parse(line, nullptr, false);
    check<FormatError>(!value.is_discarded(), path.string(), ":", number, ": expected one JSON value on this line, found text that is not JSON");
    use(value, number);
  }
}

}  // namespace palate
