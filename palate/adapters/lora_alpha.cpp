#include "palate/adapters/lora_alpha.h"

#include <nlohmann/json.hpp>

#include <cmath>

#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace fs = std::filesystem;

bool matches_peft_pattern(const std::string& module, const std::string& pattern, const std::string& origin) {
  std::string_view rest = pattern;
  const bool whole = rest.starts_with('^');
  if (whole) rest.remove_prefix(1);
  if (rest.ends_with('$')) rest.remove_suffix(1);
  std::string glob;
  for (size_t i = 0; i < rest.size(); ++i) {
    const bool pair = i + 1 < rest.size();
    if (rest[i] == '\\' && pair && rest[i + 1] == '.')
      glob += rest[++i];
    else if (rest[i] == '.' && pair && rest[i + 1] == '*')
      glob += rest[++i];
    else if (rest[i] == '*')
      glob += '*';  // ours
    else {
      check<UsageError>(std::string_view("\\[](){}|+?^$").find(rest[i]) == std::string_view::npos, origin, ": the pattern '", pattern,
                        "' is a regular expression that is not understood here: write the layers' names");
      glob += rest[i];
    }
  }
  if (whole) return glob.find('*') == std::string::npos ? module == glob : matches_target(module, glob);
  return matches_target(module, glob) || (glob.find('*') != std::string::npos && matches_target(module, "*." + glob));
}

AlphaRule::AlphaRule(const SafetensorsFile& file) : origin_(file.path().string() + ": lora_adapter_metadata") {
  const fs::path beside = file.path().parent_path() / "adapter_config.json";
  if (const auto entry = file.metadata().find("lora_adapter_metadata"); entry != file.metadata().end()) {
    config_ = std::make_shared<const Json>(parse_json(entry->second, origin_));
    prefixed_ = true;
  } else if (file.path().filename() == "adapter_model.safetensors" && fs::exists(beside)) {
    config_ = std::make_shared<const Json>(read_json(beside));
    origin_ = beside.string();
  }
  check<FormatError>(!config_ || config_->is_null() || config_->is_object(), origin_, ": expected a JSON object");
}

const Json* AlphaRule::find(const std::string& component, const std::string& key) const {
  if (!config_ || !config_->is_object()) return nullptr;
  const auto entry = config_->find(prefixed_ ? component + "." + key : key);
  return entry == config_->end() ? nullptr : &*entry;
}

namespace {
double number(const Json* value) { return value && value->is_number() ? value->get<double>() : 0; }
}  // namespace

double AlphaRule::alpha(const std::string& component, const std::string& module, int64_t rank) const {
  double value = number(find(component, "lora_alpha"));
  if (const Json* pattern = find(component, "alpha_pattern"); pattern && pattern->is_object()) {
    for (const auto& [key, entry] : pattern->items()) {
      if (!matches_peft_pattern(module, key, origin_)) continue;
      value = number(&entry);
      break;
    }
  }
  const Json* rslora = find(component, "use_rslora");
  if (rslora && rslora->is_boolean() && rslora->get<bool>()) value *= std::sqrt(static_cast<double>(rank));
  return value;
}

double AlphaRule::dropout() const {
  for (const auto& component : lora_components()) {
    if (const Json* value = find(component, "lora_dropout")) return number(value);
  }
  return 0;
}

}  // namespace palate
