#include "palate/io/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/lfs_pointer.h"

namespace palate {
namespace {

constexpr int deepest_json = 200;  // nested arrays and objects: a parser that recurses must not overflow its stack

// "line:column" of a byte, where the text itself begins on line `first`.
std::string place(std::string_view text, size_t byte, int64_t first) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + first;
  const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + first;
  return std::to_string(line) + ":" + std::to_string(before.size() - start + 1);
}

void check_depth(std::string_view text, const std::string& origin, int64_t line) {
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
      if (++depth > deepest_json)
        fail<FormatError>(origin, ":", place(text, i, line), ": JSON nested deeper than ", deepest_json, " levels is refused");
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

// Python writes Infinity where JSON has no word: diffusers' DPMSolverMultistepScheduler has "lambda_min_clipped": -Infinity.
// A number as long, near the end of float32, so that places in errors stay.
std::string without_infinities(std::string text) {
  const std::string_view word = "Infinity", number = "3.00e+38";
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text.compare(i, word.size(), word) == 0) {
      text.replace(i, word.size(), number);
    }
  }
  return text;
}

// Of "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..." the last part.
std::string reason(const Json::parse_error& error) {
  const std::string why = error.what();
  const size_t colon = why.find(": ");
  return colon == std::string::npos ? why : why.substr(colon + 2);
}

Json parse_from_line(std::string_view text, const std::string& origin, int64_t line) {
  refuse_lfs_pointer(text, origin);
  check_depth(text, origin, line);
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& error) {
    fail<FormatError>(origin, ":", place(text, error.byte > 0 ? error.byte - 1 : 0, line), ": is not JSON: ", reason(error));
  } catch (const Json::exception&) {
    fail<FormatError>(origin, ":", line, ": holds a number that is larger than a double can be");
  }
}

}  // namespace

Json parse_json_line(std::string_view line, const std::string& origin) {
  check_depth(line, origin, 1);
  try {
    return Json::parse(line.begin(), line.end());
  } catch (const Json::parse_error& error) {
    fail<FormatError>(origin, ", column ", std::max<size_t>(error.byte, 1), ": is not JSON: ", reason(error));
  } catch (const Json::exception&) {
    fail<FormatError>(origin, ": holds a number that is larger than a double can be");
  }
}

Json parse_json(std::string_view text, const std::string& origin) { return parse_from_line(text, origin, 1); }

Json read_json(const std::filesystem::path& path) { return parse_json(without_infinities(read_file(path)), path.string()); }

void write_json(const std::filesystem::path& path, const Json& value) {
  write_file(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void read_jsonl(const std::filesystem::path& path, const std::function<void(const Json&, int64_t)>& use) {
  std::istringstream lines(read_file(path));
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    use(parse_from_line(line, path.string(), number), number);
  }
}

}  // namespace palate
