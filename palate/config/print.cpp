// Saving, help, and comparing: each is one pass that writes the fields down, then a way to lay them out.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "palate/config/config.h"
#include "palate/config/visitor.h"
#include "palate/core/error.h"

namespace palate {
namespace {

std::string shortest(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += std::string("\\") + c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      const char* digits = "0123456789ABCDEF";
      out += std::string("\\u00") + digits[byte >> 4] + digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_of(bool value) { return value ? "true" : "false"; }
std::string toml_of(int64_t value) { return std::to_string(value); }
std::string toml_of(double value) {
  if (std::isnan(value)) return "\"auto\"";
  const std::string text = shortest(value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;  // 'n' of inf and nan
}
std::string toml_of(const std::string& value) { return quoted(value); }
template <class T>
std::string toml_of(const std::vector<T>& values) {
  std::string out = "[";
  for (size_t i = 0; i < values.size(); ++i) out += (i ? ", " : "") + toml_of(values[i]);
  return out + "]";
}

template <class T>
std::string shown(const T& value) {
  return toml_of(value);
}
std::string shown(double value) { return std::isnan(value) ? "auto" : shortest(value); }

struct Line {
  std::string table, key, toml, text, help;
  Limits limits;
  std::string path() const { return table.empty() ? key : table + "." + key; }
};

class Collect : public Visitor<Collect> {
 public:
  // `every`: also the keys of members that are not chosen.
  explicit Collect(const VisitFields& visit, bool every = false) : every_(every) {
    tables.push_back({"", ""});
    visit(*this);
  }
  template <class T>
  void field(const char* key, T& value, const char* help, const Limits& limits) {
    if (!reader_.empty() && std::any_of(lines.begin(), lines.end(), [&](const Line& line) { return line.path() == path(key); })) return;
    lines.push_back({table_, key, toml_of(value), shown(value), reader_ + help, limits});
  }
  bool begin_unchosen(const std::string& key, const std::string& member, const std::string&) override {
    reader_ = key + "=" + member + ": ";
    return every_;
  }
  void end_unchosen() override { reader_.clear(); }
  void entered(const char* help) { tables.emplace_back(table_, help); }
  void require(bool, const std::string&) override {}

  std::vector<Line> lines;
  std::vector<std::pair<std::string, std::string>> tables;  // name, help

 private:
  bool every_;
  std::string reader_;  // of the keys that are visited: a member that is not chosen
};

std::string bounds(const Limits& limits) {
  std::string out;
  if (!limits.choices.empty()) out += "; " + one_of(limits.choices);
  for (size_t i = 0; i < limits.aliases.size(); ++i) out += (i ? ", " : "; also ") + limits.aliases[i];
  return out;
}

}  // namespace

std::string config_to_toml(const VisitFields& visit) {
  const Collect all(visit);
  std::string out;
  for (const auto& [table, help] : all.tables) {
    std::string body;
    for (const auto& line : all.lines) {
      if (line.table == table) body += line.key + " = " + line.toml + "\n";
    }
    if (body.empty()) continue;
    if (!table.empty()) out += (out.empty() ? "[" : "\n[") + table + "]\n";
    out += body;
  }
  return out;
}

std::string config_help(const VisitFields& visit) {
  const Collect all(visit, true);
  size_t width = 0;
  for (const auto& line : all.lines) width = std::max(width, std::min<size_t>(line.path().size() + 1 + line.text.size(), 44));
  std::string out;
  for (const auto& [table, help] : all.tables) {
    std::string body;
    for (const auto& line : all.lines) {
      if (line.table != table) continue;
      std::string left = line.path() + "=" + line.text;
      left.append(left.size() < width ? width - left.size() : 0, ' ');
      body += "  " + left + "  " + line.help + bounds(line.limits) + "\n";
    }
    if (body.empty()) continue;
    if (!table.empty()) out += (out.empty() ? "" : "\n") + table + ": " + help + "\n";
    out += body;
  }
  return out;
}

std::vector<std::string> config_difference(const VisitFields& a, const VisitFields& b) {
  const Collect before(a), after(b);
  std::map<std::string, std::string> old_values, new_values;
  for (const auto& line : before.lines) old_values[line.path()] = line.text;
  for (const auto& line : after.lines) new_values[line.path()] = line.text;
  std::vector<std::string> out;
  for (const auto& line : before.lines) {
    const auto found = new_values.find(line.path());
    if (found == new_values.end()) {
      out.push_back(line.path() + ": " + line.text + " -> (not there)");
    } else if (found->second != line.text) {
      out.push_back(line.path() + ": " + line.text + " -> " + found->second);
    }
  }
  for (const auto& line : after.lines) {
    if (!old_values.count(line.path())) out.push_back(line.path() + ": (not there) -> " + line.text);
  }
  return out;
}

}  // namespace palate
