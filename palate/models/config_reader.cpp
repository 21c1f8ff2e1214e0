#include "palate/models/config_reader.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/text.h"

namespace palate {

ConfigReader::ConfigReader(const Json& config, std::string origin) : config_(config), origin_(std::move(origin)) {
  check<FormatError>(config.is_object(), origin_, ": expected a JSON object");
}

const Json* ConfigReader::find(const char* key) const {
  const auto found = config_.find(key);
  return found == config_.end() || found->is_null() ? nullptr : &*found;
}

void ConfigReader::wrong(const char* key, const char* expected) const {
  fail<FormatError>(origin_, ": '", key, "' must be ", expected, ", found ", find(key)->dump());
}

bool ConfigReader::absent(const char* key) const { return find(key) == nullptr; }

bool ConfigReader::flag(const char* key, bool missing) const {
  const Json* value = find(key);
  if (!value) return missing;
  if (!value->is_boolean()) wrong(key, "true or false");
  return value->get<bool>();
}

int64_t ConfigReader::whole(const char* key, int64_t missing) const {
  const Json* value = find(key);
  if (!value) return missing;
  if (!value->is_number_integer()) wrong(key, "a whole number");
  return value->get<int64_t>();
}

double ConfigReader::number(const char* key, double missing) const {
  const Json* value = find(key);
  if (!value) return missing;
  if (!value->is_number()) wrong(key, "a number");
  return value->get<double>();
}

std::string ConfigReader::text(const char* key, const std::string& missing) const {
  const Json* value = find(key);
  if (!value) return missing;
  if (!value->is_string()) wrong(key, "text");
  return value->get<std::string>();
}

std::vector<std::string> ConfigReader::texts(const char* key, const std::vector<std::string>& missing) const {
  const Json* value = find(key);
  if (!value) return missing;
  if (!value->is_array()) wrong(key, "a list of text");
  std::vector<std::string> list;
  for (const auto& item : *value) {
    if (!item.is_string()) wrong(key, "a list of text");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::vector<int64_t> ConfigReader::wholes(const char* key, const std::vector<int64_t>& missing) const {
  const Json* value = find(key);
  if (!value) return missing;
  if (!value->is_array()) wrong(key, "a list of whole numbers");
  std::vector<int64_t> list;
  for (const auto& item : *value) {
    if (!item.is_number_integer()) wrong(key, "a list of whole numbers");
    list.push_back(item.get<int64_t>());
  }
  return list;
}

std::vector<int64_t> ConfigReader::per_block(const char* key, int64_t missing, size_t count) const {
  const Json* value = find(key);
  if (!value) return std::vector<int64_t>(count, missing);
  if (value->is_number_integer()) return std::vector<int64_t>(count, value->get<int64_t>());
  const auto list = wholes(key, {});
  if (list.size() != count)
    fail<FormatError>(origin_, ": '", key, "' must have one number for each of ", count, " blocks, found ", list.size());
  return list;
}

std::vector<bool> ConfigReader::flags_per_block(const char* key, bool missing, size_t count) const {
  const Json* value = find(key);
  if (!value) return std::vector<bool>(count, missing);
  if (value->is_boolean()) return std::vector<bool>(count, value->get<bool>());
  if (!value->is_array()) wrong(key, "true or false, or a list of them");
  std::vector<bool> list;
  for (const auto& item : *value) {
    if (!item.is_boolean()) wrong(key, "true or false, or a list of them");
    list.push_back(item.get<bool>());
  }
  if (list.size() != count)
    fail<FormatError>(origin_, ": '", key, "' must have one entry for each of ", count, " blocks, found ", list.size());
  return list;
}

Activation ConfigReader::activation(const char* key, const std::string& missing, const std::vector<ActivationName>& known) const {
  const std::string name = lowered(text(key, missing));
  std::vector<Json> names;
  for (const auto& one : known) {
    if (one.name == name) return one.activation;
    names.emplace_back(one.name);
  }
  refuse(key, names);
}

void ConfigReader::refuse(const char* key, const std::vector<Json>& allowed) const {
  std::string expected;
  for (size_t i = 0; i < allowed.size(); ++i) expected += (i == 0 ? "" : i + 1 < allowed.size() ? ", " : " or ") + allowed[i].dump();
  fail<UsageError>(origin_, ": '", key, "' = ", find(key)->dump(), " is not supported, expected ", expected);
}

void ConfigReader::only(const char* key, const std::vector<Json>& allowed) const {
  const Json* value = find(key);
  if (!value) return;
  for (const auto& one : allowed) {
    if (*value == one) return;
  }
  refuse(key, allowed);
}

}  // namespace palate
