// The families of presets, in the order in which they are listed: a new one is a file of presets/ and a line here.
#include "palate/objective/presets.h"

#include "palate/core/error.h"
#include "palate/objective/objective_config.h"

#define PALATE_PRESET_FAMILIES(line) line(sft_presets) line(dpo_presets) line(kto_presets) line(rollout_presets) line(reward_presets)

namespace palate {

#define PALATE_PRESETS(function) std::vector<Preset> function();
PALATE_PRESET_FAMILIES(PALATE_PRESETS)

const std::vector<Preset>& all_presets() {
  static const std::vector<Preset> all = [] {
    std::vector<Preset> presets;
#define PALATE_ADD_PRESETS(function) \
  for (auto& preset : function()) presets.push_back(std::move(preset));
    PALATE_PRESET_FAMILIES(PALATE_ADD_PRESETS)
    return presets;
  }();
  return all;
}

const Preset& find_preset(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& preset : all_presets()) {
    if (name == preset.name) return preset;
    known.push_back(preset.name);
  }
  fail<UsageError>("there is no preset '", name, "'", did_you_mean(name, known), "; it is one of ", one_of(known));
}

std::vector<RegistryLine> presets() {
  std::vector<RegistryLine> lines;
  for (const auto& preset : all_presets()) lines.push_back({preset.name, preset.summary});
  return lines;
}

std::vector<std::string> preset_overrides(const std::string& name) { return find_preset(name).overrides; }

}  // namespace palate
