// Filling a config struct: values are assigned while the struct is visited, because a struct may choose what it visits next by a
// name that it has just got; keys that nobody asked for are found afterwards.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "palate/config/config.h"
#include "palate/config/toml_read.h"
#include "palate/config/visitor.h"
#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

struct Leaf {
  TomlValue value;
  std::string raw;  // of an override: the text as typed
  bool typed = false;
  size_t order = 0;  // 0 for the file, then the overrides' order
};

std::string read(const TomlValue& value, bool& field) {
  if (value.kind != TomlValue::Kind::boolean) return "expected true or false";
  field = value.boolean;
  return "";
}

std::string read(const TomlValue& value, int64_t& field) {
  const bool digits = value.kind == TomlValue::Kind::text && !value.text.empty() &&
                      value.text.find_first_not_of("0123456789", value.text[0] == '-' ? 1 : 0) == std::string::npos;
  if (digits && value.text.size() > 18) return "expected a whole number of at most 18 digits";
  if (value.kind != TomlValue::Kind::integer) return "expected a whole number";
  field = value.integer;
  return "";
}

std::string read(const TomlValue& value, double& field) {
  if (value.kind == TomlValue::Kind::text && value.text == "auto") {  // where a number may be found out: not a number
    field = std::numeric_limits<double>::quiet_NaN();
    return "";
  }
  if (value.kind != TomlValue::Kind::integer && value.kind != TomlValue::Kind::number) return "expected a number";
  field = value.number;
  return "";
}

std::string read(const TomlValue& value, std::string& field) {
  if (value.kind != TomlValue::Kind::text) return "expected text in quotes";
  field = value.text;
  const char* home = std::getenv("HOME");
  if (home && field.starts_with("~/")) field.replace(0, 1, home);  // no shell has looked into a file
  return "";
}

template <class T>
std::string read(const TomlValue& value, std::vector<T>& field) {
  std::vector<TomlValue> one{value};  // a single value stands for a list of one
  std::vector<T> result;
  for (const auto& item : value.kind == TomlValue::Kind::list ? value.items : one) {
    T element{};
    const std::string problem = read(item, element);
    if (!problem.empty()) return "expected a list; of each item: " + problem;
    result.push_back(std::move(element));
  }
  field = std::move(result);
  return "";
}

// A name that is known to be meant, in the words that every message has for it.
std::string meant(const std::string& name) { return did_you_mean(name, {name}); }

std::string number_text(double value) {
  return value == std::trunc(value) && std::abs(value) < 1e15 ? concat(static_cast<int64_t>(value)) : concat(value);
}

std::string outside(double value, const Limits& limits) {
  if (value >= limits.min && value <= limits.max) return "";
  if (limits.max == std::numeric_limits<double>::infinity()) return "expected at least " + number_text(limits.min);
  if (limits.min == -std::numeric_limits<double>::infinity()) return "expected at most " + number_text(limits.max);
  return "expected " + number_text(limits.min) + " to " + number_text(limits.max);
}

std::string broken(bool, const Limits&) { return ""; }
std::string broken(int64_t value, const Limits& limits) { return outside(static_cast<double>(value), limits); }
std::string broken(double value, const Limits& limits) {
  if (std::isnan(value) && !limits.choices.empty()) return "";  // "auto", the one word that a number may be
  return std::isfinite(value) ? outside(value, limits) : "expected a finite number";
}
std::string broken(const std::string& value, const Limits& limits) {
  const auto& words = limits.choices;
  if (words.empty() || std::find(words.begin(), words.end(), value) != words.end()) return "";
  return "expected " + one_of(words) + did_you_mean(value, words);
}
template <class T>
std::string broken(const std::vector<T>& values, const Limits& limits) {
  for (const T& value : values) {
    if (std::string problem = broken(value, limits); !problem.empty()) return problem;
  }
  return "";
}

class Load : public Visitor<Load> {
 public:
  explicit Load(const ConfigSource& source) {
    if (!source.file_text.empty()) attempt([&] { add("", parse_toml(source.file_text, source.file_name), "", 0); });
    unread_ = !errors_.empty();
    for (const auto& name : source.taken) values_.erase(name);
    for (size_t i = 0; i < source.overrides.size(); ++i) {
      attempt([&] {
        const Override typed = parse_override(source.overrides[i]);
        std::string path;
        for (const auto& part : typed.path) path += (path.empty() ? "" : ".") + part;
        add(path, typed.value, typed.raw, i + 1);
      });
    }
  }

  bool begin_unchosen(const std::string& key, const std::string& member, const std::string& chosen) override {
    unchosen_ = concat("is a key of ", path(key), " = \"", member, "\", but ", path(key), " is \"", chosen, "\"");
    return true;
  }
  void end_unchosen() override { unchosen_.clear(); }

  template <class T>
  void field(const char* key, T& value, const char*, const Limits& limits) {
    if (!unchosen_.empty()) return stray(key, value, limits);
    known_.insert(path(key));
    const Leaf* leaf = choose(named(key, limits));
    if (!leaf) return;
    T candidate = value;
    std::string problem = read_leaf(*leaf, candidate);
    if (problem.empty()) problem = broken(candidate, limits);
    if (problem.empty()) {
      value = std::move(candidate);
    } else {
      wrong_.insert(path(key));
      complain(concat(leaf->value.where, ": ", path(key), ": ", problem, ", found ", describe(leaf->value)));
    }
  }

  void former(const char* key, const std::string& value, const char* instead) override {
    const Leaf* leaf = choose({path(key)});
    std::string found;
    if (!leaf || (read_leaf(*leaf, found).empty() && found == value)) return;
    complain(concat(leaf->value.where, ": ", path(key), " is no key any more: ", instead, "; remove it"));
  }

  void entered(const char*) { tables_.insert(table_); }

  void require(bool holds, const std::string& message) override {
    if (holds || !unchosen_.empty()) return;
    for (const auto& name : wrong_) {  // said already; the rule saw the default
      if (message.starts_with(name + ":") || message.starts_with(name + " ")) return;
    }
    rules_.push_back(message);
  }

  void finish() {
    std::set<std::string> said;
    for (const auto& [name, leaves] : values_) {
      if (known_.count(name) || aliases_.count(name)) continue;
      for (const auto& leaf : leaves) unknown(name, leaf, said);
    }
    for (const auto& [name, where] : given_tables_) {  // tables without a key in them
      const auto next = values_.lower_bound(name + ".");
      const bool empty = next == values_.end() || !next->first.starts_with(name + ".");
      if (empty && !tables_.count(name)) complain(concat(where, ": unknown table '", name, "'", suggestion(name, false)));
    }
    std::vector<std::string> all = errors_;
    if (!unread_) all.insert(all.end(), rules_.begin(), rules_.end());
    if (all.empty()) return;
    std::string text;
    for (const auto& line : all) text += (text.empty() ? "" : "\n") + line;
    throw ConfigError(text);
  }

 private:
  template <class F>
  void attempt(F&& work) {
    try {
      work();
    } catch (const ConfigError& error) {
      complain(error.what());
    }
  }

  std::vector<std::string> named(const char* key, const Limits& limits) const {
    std::vector<std::string> names{path(key)};
    for (const auto& alias : limits.aliases) names.push_back(path(alias));
    return names;
  }

  void complain(std::string line) { errors_.push_back(std::move(line)); }

  // A key that only a member reads that is not chosen. At its default it changes nothing (complete files of earlier versions have such
  // keys); else it is something that the person wants and would not get.
  template <class T>
  void stray(const char* key, const T& value, const Limits& limits) {
    std::vector<std::string> names;  // which nobody before has read: members share keys, and each may have an alias of its own
    for (const auto& name : named(key, limits)) {
      if (!aliases_.count(name)) names.push_back(name);
    }
    const Leaf* leaf = choose(names);
    T candidate = value;
    if (!leaf || (read_leaf(*leaf, candidate).empty() && candidate == value)) return;
    if (wrong_.insert(path(key)).second)
      complain(concat(leaf->value.where, ": ", path(key), " ", unchosen_, ", which does not read it: remove it"));
  }

  // Tables are taken apart into leaves by dotted name; an empty table leaves no trace but its own name.
  void add(const std::string& name, const TomlValue& value, const std::string& raw, size_t order) {
    if (value.kind != TomlValue::Kind::table) {
      values_[name].push_back({value, raw, order > 0, order});
      return;
    }
    if (!name.empty()) given_tables_.emplace(name, value.where);
    for (size_t i = 0; i < value.items.size(); ++i) {
      const std::string& key = value.keys[i];
      TomlValue inner = value.items[i];
      if (order > 0) inner.where = value.where;
      add(name.empty() ? key : name + "." + key, inner, "", order);
    }
  }

  template <class T>
  static std::string read_leaf(const Leaf& leaf, T& candidate) {
    if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::string>>) {
      if (leaf.typed && leaf.value.kind != TomlValue::Kind::text && leaf.value.kind != TomlValue::Kind::list && !leaf.raw.empty()) {
        TomlValue text = leaf.value;  // output=2024 on the command line means the text
        text.kind = TomlValue::Kind::text;
        text.text = leaf.raw;
        return read(text, candidate);
      }
    }
    return read(leaf.value, candidate);
  }

  // The last override of any of the names, else the file's value; two names in the file for one field are a mistake.
  const Leaf* choose(const std::vector<std::string>& names) {
    const Leaf* best = nullptr;
    const Leaf* from_file = nullptr;
    std::string file_name;
    for (const auto& name : names) {
      aliases_.insert(name);
      if (given_tables_.count(name)) {
        complain(concat(given_tables_.at(name), ": ", name, ": expected a value, found a table"));
        given_tables_.erase(name);
      }
      const auto found = values_.find(name);
      if (found == values_.end()) continue;
      for (const auto& leaf : found->second) {
        if (leaf.order == 0 && from_file) {
          complain(concat(leaf.value.where, ": '", name, "' and '", file_name, "' (", from_file->value.where, ") mean the same: keep one"));
        }
        if (leaf.order == 0) {
          from_file = &leaf;
          file_name = name;
        }
        if (!best || leaf.order >= best->order) best = &leaf;
      }
    }
    return best;
  }

  void unknown(const std::string& name, const Leaf& leaf, std::set<std::string>& said) {
    if (tables_.count(name)) {
      complain(concat(leaf.value.where, ": '", name, "' is a table, expected [", name, "] or ", name, ".KEY"));
      return;
    }
    // The outermost part that nothing here has: a whole unknown table is one mistake.
    std::string part = name;
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      const std::string outer = name.substr(0, dot);
      if (tables_.count(outer)) continue;
      if (aliases_.count(outer)) return;  // a table in the place of a value: said when the field was read
      part = outer;
      break;
    }
    if (!said.insert(part + "\n" + (leaf.typed ? leaf.value.where : "")).second) return;
    const bool whole_table = part != name && !leaf.typed && given_tables_.count(part);
    complain(concat(whole_table ? given_tables_.at(part) : leaf.value.where, ": unknown ", part == name ? "key '" : "table '", part, "'",
                    suggestion(part == name ? name : part, part == name)));
  }

  std::string suggestion(const std::string& name, bool is_key) const {
    const std::vector<std::string> all =
        is_key ? std::vector<std::string>(known_.begin(), known_.end()) : std::vector<std::string>(tables_.begin(), tables_.end());
    const size_t dot = name.rfind('.');
    const std::string table = dot == std::string::npos ? "" : name.substr(0, dot + 1), last = name.substr(table.size());
    std::vector<std::string> siblings;
    for (const auto& other : all) {
      if (other.size() > last.size() && other.ends_with("." + last)) return meant(other);
      if (other.starts_with(table) && other.find('.', table.size()) == std::string::npos) siblings.push_back(other.substr(table.size()));
    }
    if (is_key) {
      for (const auto& other : aliases_) {
        if (other.size() > last.size() && other.ends_with("." + last)) return meant(other);
      }
    }
    const std::string near = nearest(last, siblings);
    if (!near.empty()) return meant(table + near);
    if (is_key && !table.empty() && tables_.count(table.substr(0, dot))) return "; expected " + one_of(siblings);
    return did_you_mean(name, all);
  }

  std::map<std::string, std::vector<Leaf>> values_;
  std::map<std::string, std::string> given_tables_;  // name -> where
  std::set<std::string> known_, aliases_, tables_, wrong_;
  std::string unchosen_;  // while such keys are visited: whose they are
  std::vector<std::string> errors_, rules_;
  bool unread_ = false;  // the file is not TOML: what it would have set is not known, so rules between fields say nothing
};

}  // namespace

ConfigSource read_config_source(const std::filesystem::path& file, std::vector<std::string> overrides) {
  ConfigSource source;
  source.overrides = std::move(overrides);
  if (file.empty()) return source;
  check<UsageError>(std::filesystem::exists(file), file.string(), ": there is no such config file (looked in ",
                    std::filesystem::current_path().string(), ")");
  check<UsageError>(!std::filesystem::is_directory(file), file.string(), ": expected a config file, found a folder");
  source.file_name = file.string();
  source.file_text = read_file(file);
  return source;
}

void load_config(const ConfigSource& source, const VisitFields& visit) {
  Load load(source);
  visit(load);
  load.finish();
}

}  // namespace palate
