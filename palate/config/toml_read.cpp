#include "palate/config/toml_read.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

// The library (3.3) states what it takes for granted as assertions, and some texts break them: they must end in an error, not in the
// program's end (or, with NDEBUG, in undefined behaviour).
#undef NDEBUG
[[noreturn]] static void broken_assertion() { throw std::logic_error("its structure is broken"); }
#define TOML_ASSERT(expression) ((expression) ? void(0) : broken_assertion())
#include <toml++/toml.h>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr int most_dots = 500;  // in one key: each makes a table inside a table, which is walked by recursion
constexpr size_t largest_text = size_t{16} << 20;

// The place after the string or comment that begins at `at`. Unclosed strings end with their line, or with the text.
size_t skip_quoted(std::string_view text, size_t at) {
  const char quote = text[at];
  if (quote == '#') return std::min(text.find('\n', at), text.size());
  const std::string three(3, quote);
  const bool long_form = text.substr(at, 3) == three;
  size_t i = at + (long_form ? 3 : 1);
  for (; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (long_form ? text.substr(i, 3) == three : text[i] == quote || text[i] == '\n') {
      i += long_form ? 3 : 1;
      while (long_form && i < text.size() && text[i] == quote) ++i;  // quotes that belong to the text come before the last three
      return i;
    }
  }
  return text.size();
}

// What the library cannot be trusted with: keys of very many parts, and letters beyond ASCII outside quotes (which TOML forbids, and for
// which the library's classification of characters is undefined).
void check_text(std::string_view text, const std::string& file_name) {
  check<ConfigError>(text.size() <= largest_text, file_name, ": is larger than any configuration (", text.size(), " bytes)");
  const auto line_at = [&](size_t at) { return std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n') + 1; };
  int dots = 0;
  for (size_t i = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '#' || c == '"' || c == '\'') {
      i = skip_quoted(text, i) - 1;
      continue;
    }
    dots = c == '.' ? dots + 1 : std::string_view("\n=,[]{}").find(c) != std::string_view::npos ? 0 : dots;
    if (dots > most_dots) fail<ConfigError>(file_name, ":", line_at(i), ": a key of more than ", most_dots, " parts is refused");
    if (static_cast<unsigned char>(c) >= 0x80)
      fail<ConfigError>(file_name, ":", line_at(i), ": is not TOML: put text that is not plain ASCII in quotes");
  }
}

std::string place(const std::string& file_name, const toml::source_region& source) { return concat(file_name, ":", source.begin.line); }

TomlValue convert(const toml::node& node, const std::string& file_name) {
  TomlValue value;
  value.where = place(file_name, node.source());
  using Kind = TomlValue::Kind;
  if (const auto* flag = node.as_boolean()) {
    value.kind = Kind::boolean;
    value.boolean = flag->get();
  } else if (const auto* integer = node.as_integer()) {
    value.kind = Kind::integer;
    value.integer = integer->get();
    value.number = static_cast<double>(value.integer);
  } else if (const auto* number = node.as_floating_point()) {
    value.kind = Kind::number;
    value.number = number->get();
  } else if (const auto* text = node.as_string()) {
    value.kind = Kind::text;
    value.text = text->get();
  } else if (const auto* list = node.as_array()) {
    value.kind = Kind::list;
    for (const auto& item : *list) value.items.push_back(convert(item, file_name));
  } else if (const auto* table = node.as_table()) {
    value.kind = Kind::table;
    for (const auto& [key, member] : *table) {
      value.keys.emplace_back(key.str());
      value.items.push_back(convert(member, file_name));
      value.items.back().where = place(file_name, key.source());
    }
  }
  return value;
}

// Text as a shell leaves it: [a.parquet, b.parquet] has lost its quotes, and is a list all the same.
TomlValue bare(const std::string& raw) {
  TomlValue value;
  if (raw.size() < 2 || raw.front() != '[' || raw.back() != ']') {
    value.kind = TomlValue::Kind::text;
    value.text = raw;
    return value;
  }
  value.kind = TomlValue::Kind::list;
  std::stringstream items(raw.substr(1, raw.size() - 2));
  for (std::string item; std::getline(items, item, ',');) {
    const size_t begin = item.find_first_not_of(" \"'"), end = item.find_last_not_of(" \"'");
    if (begin != std::string::npos) value.items.push_back(bare(item.substr(begin, end - begin + 1)));
  }
  return value;
}

}  // namespace

std::string describe(const TomlValue& value) {
  switch (value.kind) {
    case TomlValue::Kind::boolean:
      return value.boolean ? "true" : "false";
    case TomlValue::Kind::integer:
      return concat("the whole number ", value.integer);
    case TomlValue::Kind::number:
      return concat("the number ", value.number);
    case TomlValue::Kind::text:
      return "the text '" + value.text + "'";
    case TomlValue::Kind::list:
      return concat("a list of ", value.items.size());
    case TomlValue::Kind::table:
      return "a table";
    case TomlValue::Kind::other:
      break;
  }
  return "a date or time";
}

TomlValue parse_toml(const std::string& text, const std::string& file_name) {
  check_text(text, file_name);
  try {
    const toml::table table = toml::parse(text, file_name);
    return convert(table, file_name);
  } catch (const toml::parse_error& error) {
    fail<ConfigError>(file_name, ":", error.source().begin.line, ":", error.source().begin.column, ": is not TOML: ", error.description());
  } catch (const std::logic_error& error) {
    fail<ConfigError>(file_name, ": is not TOML: ", error.what());
  }
}

Override parse_override(const std::string& text) {
  const size_t equals = text.find('=');
  check<ConfigError>(equals != std::string::npos, text, ": expected key=value, for example train.steps=100");
  Override result;
  std::string key;
  for (const char c : text.substr(0, equals) + ".") {
    if (c == '.') {
      check<ConfigError>(!key.empty(), text, ": expected key=value, for example train.steps=100; a part of this key is empty");
      result.path.push_back(std::move(key));
      key.clear();
    } else if (c != ' ' && c != '-') {
      key += c;
    } else if (c == '-') {
      key += key.empty() ? "" : "_";  // --train.keep-best=true, as flags are typed
    }
  }
  result.raw = text.substr(equals + 1);
  try {
    const TomlValue table = parse_toml("v = " + result.raw, text);
    if (table.items.size() == 1 && result.raw.find('\n') == std::string::npos) result.value = table.items[0];
  } catch (const ConfigError&) {
    result.value.kind = TomlValue::Kind::other;
  }
  if (result.value.kind == TomlValue::Kind::other) result.value = bare(result.raw);  // no value of TOML's, or a date
  result.value.where = text;
  return result;
}

}  // namespace palate
