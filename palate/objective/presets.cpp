// The families of presets, in the order in which they are listed: a new one is a file of presets/ and a line here.
#include "palate/objective/presets.h"

#include "palate/core/error.h"
#include "palate/objective/objective_config.h"

// clang-format off
#define PALATE_PRESET_FAMILIES(line) \
  line(sft_presets) \
  line(dpo_presets) \
  line(importance_presets) \
  line(kto_presets) \
  line(single_presets) \
  line(reference_free_presets) \
  line(dspo_presets) \
  line(ncp_presets) \
  line(rollout_presets) \
  line(reward_presets)

// clang-format on

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

std::vector<std::string> with_lora_recipe(std::vector<std::string> overrides) {
  overrides.insert(overrides.end(),
                   {"full=false", "lora.rank=8", "lora.alpha=0", "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]",
                    "data.ties=drop", "optimizer.name=adamw", "optimizer.lr=1e-5", "optimizer.lr_schedule=constant",
                    "optimizer.clip_norm=1", "train.batch=16", "train.accumulation=2", "train.steps=10000"});
  return overrides;
}

std::vector<std::string> with_full_recipe(std::vector<std::string> overrides, bool sdxl) {
  overrides.insert(overrides.end(),
                   {"objective.reference=frozen_copy", "full=true", "data.ties=drop", "data.caption_dropout=0.2", "data.flip=true",
                    "optimizer.lr=2.048e-5", "optimizer.weight_decay=0.01", "optimizer.lr_schedule=constant_with_warmup",
                    "optimizer.clip_norm=1", "train.batch=1", "train.accumulation=2048", "train.steps=2000"});
  const std::vector<std::string> own =
      sdxl ? std::vector<std::string>{"data.resolution=1024", "optimizer.name=adafactor", "optimizer.warmup_steps=200"}
           : std::vector<std::string>{"data.resolution=512", "optimizer.name=adamw", "optimizer.warmup_steps=500"};
  overrides.insert(overrides.end(), own.begin(), own.end());
  return overrides;
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
