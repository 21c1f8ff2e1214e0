#include "palate/adapters/lora_names.h"

#include <algorithm>

namespace palate {
namespace {

struct Ending {
  std::string_view text;
  LoraRole role;
};
constexpr Ending endings[] = {
    {".lora_down.weight", LoraRole::down},
    {".lora_up.weight", LoraRole::up},
    {".lora.down.weight", LoraRole::down},
    {".lora.up.weight", LoraRole::up},
    {".lora_linear_layer.down.weight", LoraRole::down},
    {".lora_linear_layer.up.weight", LoraRole::up},
    {".alpha", LoraRole::alpha},
};
// The processor spelling: "attn1.processor.to_q_lora.down.weight".
constexpr Ending processor_endings[] = {{"_lora.down.weight", LoraRole::down}, {"_lora.up.weight", LoraRole::up}};

bool drop_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.remove_suffix(end.size());
  return true;
}

bool drop_start(std::string_view& text, std::string_view start) {
  if (!text.starts_with(start)) return false;
  text.remove_prefix(start.size());
  return true;
}

// ".lora_A.weight" or, with the adapter's name as peft keeps it in memory, ".lora_A.default.weight".
std::optional<LoraRole> drop_peft_end(std::string_view& key) {
  std::string_view rest = key;
  if (!drop_end(rest, ".weight")) return std::nullopt;
  for (const Ending& half : {Ending{".lora_A", LoraRole::down}, Ending{".lora_B", LoraRole::up}}) {
    const size_t at = rest.rfind(half.text);
    if (at == std::string_view::npos) continue;
    const std::string_view adapter = rest.substr(at + half.text.size());
    if (!adapter.empty() && (adapter[0] != '.' || adapter.size() == 1 || adapter.find('.', 1) != std::string_view::npos)) continue;
    key = rest.substr(0, at);
    return half.role;
  }
  return std::nullopt;
}

struct Split {
  std::string module;
  LoraRole role;
};

std::optional<Split> split(std::string_view key) {
  std::string_view module = key;
  if (const auto role = drop_peft_end(module)) return Split{std::string(module), *role};
  for (const Ending& ending : endings) {
    if (drop_end(module, ending.text)) return Split{std::string(module), ending.role};
  }
  constexpr std::string_view processor = ".processor.";
  for (const Ending& ending : processor_endings) {
    if (!drop_end(module, ending.text)) continue;
    const size_t at = module.rfind(processor);
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view projection = module.substr(at + processor.size());
    std::string name = std::string(module.substr(0, at)) + "." + std::string(projection);
    return Split{projection == "to_out" ? name + ".0" : name, ending.role};
  }
  return std::nullopt;
}

bool glob(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

std::string kohya_name(std::string_view module) {
  std::string name = "lora_unet_" + std::string(module);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

LoraNames::LoraNames(const std::vector<std::string>& modules) {
  for (size_t i = 0; i < modules.size(); ++i) {
    dotted_[modules[i]] = i;
    underscored_[kohya_name(modules[i])] = i;
  }
}

std::optional<LoraKey> LoraNames::find(std::string_view key) const {
  const auto parts = split(key);
  if (!parts) return std::nullopt;
  if (const auto home = underscored_.find(parts->module); home != underscored_.end()) return LoraKey{home->second, parts->role};
  std::string_view module = parts->module;
  drop_start(module, "base_model.model.");
  drop_start(module, "unet.");
  if (const auto home = dotted_.find(module); home != dotted_.end()) return LoraKey{home->second, parts->role};
  return std::nullopt;
}

bool matches_target(std::string_view name, std::string_view target) {
  if (target.find('*') != std::string_view::npos) return glob(name, target);
  if (!name.ends_with(target)) return false;
  return name.size() == target.size() || name[name.size() - target.size() - 1] == '.';
}

}  // namespace palate
