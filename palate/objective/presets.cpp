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
  line(reference_free_presets) \
  line(dspo_presets) \
  line(rollout_presets)

// clang-format on

namespace palate {

#define PALATE_PRESETS(function) std::vector<Preset> function();
PALATE_PRESET_FAMILIES(PALATE_PRESETS)

<<<<<<< HEAD
const std::vector<Preset>& table() {
  static const std::vector<Preset> all = {
      // The launcher of SalesforceAIResearch/DiffusionDPO for SD1.5. Its learning rate is 1e-8 times the 2048 pairs of a step;
      // the paper prints a thousandth of that, which does not train.
      {"diffusion-dpo-sd15",
       "Diffusion-DPO as published for SD1.5: the whole U-Net, beta 5000, 2048 pairs a step",
       {"objective.loss=dpo",
        "objective.loss_type=sigmoid",
        "objective.beta=5000",
        "objective.error_space=output",
        "objective.timesteps=uniform",
        "objective.reference=frozen_copy",
        "full=true",
        "data.ties=drop",
        "data.caption_dropout=0.2",
        "data.resolution=512",
        "data.flip=true",
        "optimizer.name=adamw",
        "optimizer.lr=2.048e-5",
        "optimizer.weight_decay=0.01",
        "optimizer.lr_schedule=constant_with_warmup",
        "optimizer.warmup_steps=500",
        "optimizer.clip_norm=1",
        "train.batch=1",
        "train.accumulation=2048",
        "train.steps=2000"}},
      // diffusers' research_projects/diffusion_dpo: beta 2500 without the half is beta 5000 with it.
      {"diffusion-dpo-lora",
       "Diffusion-DPO on a rank-8 LoRA, as diffusers' example: beta 5000 (2500 there), reference = adapters off",
       {"objective.loss=dpo", "objective.loss_type=sigmoid", "objective.beta=5000", "objective.error_space=output",
        "objective.timesteps=uniform", "objective.reference=adapters_off", "full=false", "lora.rank=8", "lora.alpha=0",
        "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]", "data.ties=drop", "optimizer.name=adamw", "optimizer.lr=1e-5",
        "optimizer.lr_schedule=constant", "optimizer.clip_norm=1", "train.batch=16", "train.accumulation=2", "train.steps=10000"}},
      // jacklishufan/diffusion-kto, train_kto_sd_v1.5.py. Of its pictures 80 % have a thumb up; pairs give as many of each.
      {"diffusion-kto-sd15",
       "Diffusion-KTO as published for SD1.5: the whole U-Net, beta 1000, each picture of a pair with a thumb of its own",
       {"objective.loss=kto", "objective.beta=1000", "objective.error_space=output", "objective.timesteps=uniform",
        "objective.reference=frozen_copy", "full=true", "data.ties=drop", "data.caption_dropout=0.2", "optimizer.name=adamw",
        "optimizer.lr=1e-7", "optimizer.lr_schedule=constant_with_warmup", "optimizer.warmup_steps=200", "optimizer.clip_norm=1",
        "train.batch=2", "train.steps=20000"}},
      {"sft",
       "fine-tuning on the winners with the same LoRA: the baseline at equal compute",
       {"objective.loss=sft", "objective.error_space=output", "objective.timesteps=uniform", "objective.reference=none", "full=false",
        "lora.rank=8", "lora.alpha=0", "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]", "data.ties=drop",
        "optimizer.name=adamw", "optimizer.lr=1e-5", "optimizer.lr_schedule=constant", "optimizer.clip_norm=1", "train.batch=16",
        "train.accumulation=2", "train.steps=10000"}},
  };
=======
const std::vector<Preset>& all_presets() {
  static const std::vector<Preset> all = [] {
    std::vector<Preset> presets;
#define PALATE_ADD_PRESETS(function) \
  for (auto& preset : function()) presets.push_back(std::move(preset));
    PALATE_PRESET_FAMILIES(PALATE_ADD_PRESETS)
    return presets;
  }();
>>>>>>> 9d74851f62fbbdce3c309ec034e7c7e6d9d6365c
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
