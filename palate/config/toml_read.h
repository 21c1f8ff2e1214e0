// TOML text as a list of values with their dotted keys and places. The only part that knows the TOML library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace palate {

struct TomlValue {
  enum class Kind { boolean, integer, number, text, list, table, other };
  Kind kind = Kind::other;
  bool boolean = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<TomlValue> items;   // of a list, or of a table
  std::vector<std::string> keys;  // of a table: the items' names, ascending
  std::string where;              // "run.toml:7", or the override as it was typed
};

// "the text 'abc'", "the number 3", "a table"
std::string describe(const TomlValue& value);

// ConfigError with file:line:column for text that is not TOML.
TomlValue parse_toml(const std::string& text, const std::string& file_name);

// "train.steps=100" -> {"train", "steps"} and the value. What is no TOML value is text: "objective.loss=dpo".
struct Override {
  std::vector<std::string> path;
  TomlValue value;
  std::string raw;  // the value as it was typed
};
Override parse_override(const std::string& text);  // ConfigError without '=' or with an empty key

}  // namespace palate
