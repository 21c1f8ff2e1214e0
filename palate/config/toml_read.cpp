#include "palate/config/toml_read.h"

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

void check_size(std::string_view text, const std::string& file_name) {
  check<ConfigError>(text.size() <= largest_text, file_name, ": is larger than any configuration (", text.size(), " bytes)");
  int dots = 0, line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    if (c == '.') ++dots;
    if (std::string_view("\n=,[]{}").find(c) != std::string_view::npos) dots = 0;
    if (dots > most_dots) fail<ConfigError>(file_name, ":", line, ": a key of more than ", most_dots, " parts is refused");
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
      value.members.emplace_back(std::string(key.str()), convert(member, file_name));
      value.members.back().second.where = place(file_name, key.source());
    }
  }
  return value;
}

}  // namespace

std::string describe(const TomlValue& value) {
  switch (value.kind) {
    case TomlValue::Kind::boolean: return value.boolean ? "true" : "false";
    case TomlValue::Kind::integer: return concat("the whole number ", value.integer);
    case TomlValue::Kind::number: return concat("the number ", value.number);
    case TomlValue::Kind::text: return "the text '" + value.text + "'";
    case TomlValue::Kind::list: return concat("a list of ", value.items.size());
    case TomlValue::Kind::table: return "a table";
    case TomlValue::Kind::other: break;
  }
  return "a date or time";
}

TomlValue parse_toml(const std::string& text, const std::string& file_name) {
  check_size(text, file_name);
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
    if (table.members.size() == 1 && result.raw.find('\n') == std::string::npos) result.value = table.members[0].second;
  } catch (const ConfigError&) {
    result.value.kind = TomlValue::Kind::other;
  }
  if (result.value.kind == TomlValue::Kind::other) {  // no value of TOML's, or a date: text
    result.value = {};
    result.value.kind = TomlValue::Kind::text;
    result.value.text = result.raw;
  }
  result.value.where = text;
  return result;
}

}  // namespace palate
