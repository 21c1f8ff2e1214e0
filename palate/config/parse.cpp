// TOML text and key=value overrides into a struct. Every mistake is collected, so that a person mends them in one go.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "text";
    case toml::node_type::integer: return "a whole number";
    case toml::node_type::floating_point: return "a number";
    case toml::node_type::boolean: return "true or false";
    case toml::node_type::array: return "a list";
    case toml::node_type::table: return "a table";
    default: return "a date";
  }
}


class Parser : public Fields {
 public:
  Parser(toml::table& root, std::string file, const std::map<std::string, std::string>& overrides)
      : file_(std::move(file)), overrides_(overrides) {
    tables_.push_back(&root);
    seen_.emplace_back();
  }

  void operator()(const char* key, bool& value, const char*, const Limits& limits) override {
    read(key, limits, "true or false", [&](const toml::node& node) {
      if (!node.is_boolean()) return false;
      value = node.as_boolean()->get();
      return true;
    });
  }
  void operator()(const char* key, int64_t& value, const char*, const Limits& limits) override {
    const bool given = read(key, limits, "a whole number", [&](const toml::node& node) { return whole(node, value); });
    if (given) check_range(key, static_cast<double>(value), limits);
  }
  void operator()(const char* key, double& value, const char*, const Limits& limits) override {
    const bool given = read(key, limits, "a number", [&](const toml::node& node) { return number(node, value); });
    if (given) check_range(key, value, limits);
  }
  void operator()(const char* key, std::string& value, const char*, const Limits& limits) override {
    const bool given = read(key, limits, "text", [&](const toml::node& node) { return text(node, value); });
    if (given) check_choice(key, value, limits);
  }
  void operator()(const char* key, std::vector<std::string>& value, const char*, const Limits& limits) override {
    std::vector<std::string> list;
    const bool given = read(key, limits, "a list of text", [&](const toml::node& node) {
      if (node.is_string()) return list.push_back(node.as_string()->get()), true;  // one word is a list of one
      return read_list<std::string>(node, list, [&](const toml::node& item, std::string& one) { return text(item, one); });
    });
    if (given) value = list;
    for (const auto& word : list) check_choice(key, word, limits);
  }
  void operator()(const char* key, std::vector<int64_t>& value, const char*, const Limits& limits) override {
    std::vector<int64_t> list;
    if (read(key, limits, "a list of whole numbers", [&](const toml::node& node) { return read_list<int64_t>(node, list, whole); })) value = list;
    for (const int64_t item : list) check_range(key, static_cast<double>(item), limits);
  }
  void operator()(const char* key, std::vector<double>& value, const char*, const Limits& limits) override {
    std::vector<double> list;
    if (read(key, limits, "a list of numbers", [&](const toml::node& node) { return read_list<double>(node, list, number); })) value = list;
    for (const double item : list) check_range(key, item, limits);
  }
  void require(bool holds, const std::string& message) override {
    if (!holds) mistakes_.push_back((file_.empty() ? "config" : file_) + ": " + message);
  }

  // After the visit: keys that no field asked for.
  void finish() {
    report_unknown();
    if (mistakes_.empty()) return;
    std::string all = mistakes_.size() == 1 ? "" : std::to_string(mistakes_.size()) + " mistakes in the configuration:\n";
    for (size_t i = 0; i < mistakes_.size(); ++i) all += (i ? "\n" : "") + mistakes_[i];
    throw ConfigError(all);
  }

 protected:
  void begin(const char* key, const char*) override {
    seen_.back().insert(key);
    path_ += std::string(key) + ".";
    toml::table* inner = nullptr;
    if (tables_.back()) {
      if (toml::node* node = tables_.back()->get(key)) {
        inner = node->as_table();
        if (!inner) mistake(*node, "'" + path_.substr(0, path_.size() - 1) + "' must be a table, found " + type_name(*node));
      }
    }
    tables_.push_back(inner);
    seen_.emplace_back();
  }
  void end() override {
    report_unknown();
    tables_.pop_back();
    seen_.pop_back();
    path_.pop_back();
    const size_t dot = path_.rfind('.');
    path_ = dot == std::string::npos ? "" : path_.substr(0, dot + 1);
  }

 private:
  static bool whole(const toml::node& node, int64_t& value) {
    if (node.is_integer()) return value = node.as_integer()->get(), true;
    const double real = node.is_floating_point() ? node.as_floating_point()->get() : NAN;  // 1e3 is a whole number to a person
    if (std::floor(real) != real || std::abs(real) > 9e15) return false;
    value = static_cast<int64_t>(real);
    return true;
  }
  static bool number(const toml::node& node, double& value) {
    if (node.is_integer()) return value = static_cast<double>(node.as_integer()->get()), true;
    if (!node.is_floating_point()) return false;
    value = node.as_floating_point()->get();
    return true;
  }
  static bool text(const toml::node& node, std::string& value) {
    if (!node.is_string()) return false;
    value = node.as_string()->get();
    return true;
  }
  template <class Item, class Read>
  static bool read_list(const toml::node& node, std::vector<Item>& list, Read read_item) {
    const toml::array* array = node.as_array();
    if (!array) return false;
    for (const auto& item : *array) {
      Item one{};
      if (!read_item(item, one)) return false;
      list.push_back(one);
    }
    return true;
  }

  // The node under the key or one of its aliases; true when it was there and `use` took it.
  template <class Use>
  bool read(const char* key, const Limits& limits, const char* expected, Use use) {
    toml::node* found = take(key);
    for (const auto& alias : limits.aliases) {
      toml::node* other = take(alias);
      if (other && found) mistake(*other, "'" + path_ + alias + "' means the same as '" + key + "', and both are given");
      if (!found) found = other;
    }
    if (!found) return false;
    last_ = found;
    if (use(*found)) return true;
    mistake(*found, "'" + path_ + key + "' must be " + expected + ", found " + type_name(*found));
    return false;
  }
  toml::node* take(const std::string& key) {
    seen_.back().insert(key);
    return tables_.back() ? tables_.back()->get(key) : nullptr;
  }

  void check_range(const char* key, double value, const Limits& limits) {
    const bool inside = value >= limits.min && value <= limits.max;
    if (inside) return;
    std::string range = std::isinf(limits.max) ? "at least " + concat(limits.min) : std::isinf(limits.min) ? "at most " + concat(limits.max) : "between " + concat(limits.min) + " and " + concat(limits.max);
    mistake(*last_, "'" + path_ + key + "' must be " + range + ", found " + concat(value));
  }
  void check_choice(const char* key, const std::string& value, const Limits& limits) {
    if (limits.choices.empty() || std::find(limits.choices.begin(), limits.choices.end(), value) != limits.choices.end()) return;
    mistake(*last_, "'" + path_ + key + "' must be " + one_of(limits.choices) + ", found '" + value + "'" + did_you_mean(value, limits.choices));
  }

  void report_unknown() {
    if (!tables_.back()) return;
    const std::vector<std::string> known(seen_.back().begin(), seen_.back().end());
    for (auto&& [name, node] : *tables_.back()) {
      const std::string key(name.str());
      if (!seen_.back().count(key)) mistake(node, "unknown key '" + path_ + key + "'" + did_you_mean(key, known));
    }
  }

  void mistake(const toml::node& node, const std::string& what) {
    const auto& region = node.source();
    std::string where = file_ + ":" + std::to_string(region.begin.line);
    for (const auto& [path, given] : overrides_) {  // an override is named by what was typed
      if (region.path && *region.path == "override " + path) where = "'" + given + "' on the command line";
    }
    mistakes_.push_back(where + ": " + what);
  }

  std::string file_, path_;
  const std::map<std::string, std::string>& overrides_;
  std::vector<toml::table*> tables_;
  std::vector<std::set<std::string>> seen_;
  std::vector<std::string> mistakes_;
  const toml::node* last_ = nullptr;
};

// `a.b=value` into the table. The value is TOML; what is not TOML is text (objective.loss=dpo).
void apply_override(toml::table& root, const std::string& given, std::map<std::string, std::string>& overrides) {
  const size_t equals = given.find('=');
  check<ConfigError>(equals != std::string::npos && equals > 0, "'", given, "' on the command line: expected key=value");
  const std::string key = given.substr(0, equals), value = given.substr(equals + 1);
  overrides[key] = given;
  const std::string origin = "override " + key;
  toml::table parsed;
  try {
    parsed = toml::parse("v = " + value, origin);
  } catch (const toml::parse_error&) {
    std::string quoted = "\"";
    for (const char c : value) quoted += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    try {
      parsed = toml::parse("v = " + quoted + "\"", origin);
    } catch (const toml::parse_error&) {
      fail<ConfigError>("'", given, "' on the command line: the value is neither TOML nor plain text");
    }
  }
  toml::table* table = &root;
  size_t start = 0;
  for (size_t dot = key.find('.'); dot != std::string::npos; start = dot + 1, dot = key.find('.', start)) {
    const std::string part = key.substr(start, dot - start);
    if (!table->get(part)) table->insert(part, toml::table{});
    table = table->get(part)->as_table();
    check<ConfigError>(table != nullptr, "'", given, "' on the command line: '", part, "' is not a table");
  }
  table->insert_or_assign(key.substr(start), std::move(*parsed.get("v")));
}

}  // namespace

ConfigSource read_config_source(const std::filesystem::path& file, std::vector<std::string> overrides) {
  check<UsageError>(file.empty() || std::filesystem::exists(file), file.string(), ": there is no such config file");
  return {file.string(), file.empty() ? "" : read_file(file), std::move(overrides)};
}

void load_config(const ConfigSource& source, const Visit& visit) {
  toml::table root;
  try {
    root = toml::parse(source.file_text, source.file_name);
  } catch (const toml::parse_error& error) {
    fail<ConfigError>(source.file_name, ":", error.source().begin.line, ":", error.source().begin.column, ": is not TOML: ", error.description());
  }
  std::map<std::string, std::string> overrides;
  for (const auto& given : source.overrides) apply_override(root, given, overrides);
  Parser parser(root, source.file_name, overrides);
  visit(parser);
  parser.finish();
}

}  // namespace palate
