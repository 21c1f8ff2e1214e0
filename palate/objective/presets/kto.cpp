// Diffusion-KTO. Sources: docs/objectives.md, section 6.
#include "palate/objective/presets.h"

namespace palate {

std::vector<Preset> kto_presets() {
  const char* formula =
      "g = ref - d,  Q = max(0, mean of g over the batch and all ranks) without gradients\n"
      "L = lambda_y (1 - sigmoid(beta y (g - Q))),  y = +1 for a thumb up, -1 for a thumb down";
  const char* pitfalls =
      "A batch of one is refused: Q would be the picture's own reward. Of the paper's pictures 80 % have a thumb up; pairs give as many of "
      "each, so desirable_weight and undesirable_weight may want other values.";
  const std::vector<std::string> objective = {"objective.loss=kto", "objective.beta=1000", "objective.error_space=output",
                                              "objective.timesteps=uniform"};
  std::vector<std::string> full = objective, lora = objective;
  lora.emplace_back("objective.reference=adapters_off");
  // train_kto_sd_v1.5.py. Of its pictures 80 % have a thumb up; pairs give as many of each.
  full.insert(full.end(), {"objective.reference=frozen_copy", "full=true", "data.ties=drop", "data.caption_dropout=0.2",
                           "optimizer.name=adamw", "optimizer.lr=1e-7", "optimizer.lr_schedule=constant_with_warmup",
                           "optimizer.warmup_steps=200", "optimizer.clip_norm=1", "train.batch=2", "train.steps=20000"});
  return {
      {.name = "kto",
       .summary = "Diffusion-KTO on a rank-8 LoRA: beta 1000, each picture of a pair with a thumb of its own, reference = adapters off",
       .overrides = with_lora_recipe(lora),
       .formula = formula,
       .sources = "2404.04465; jacklishufan/diffusion-kto, train_kto_sd_v1.5.py. The recipe is that of diffusion-dpo-lora.",
       .pitfalls = pitfalls},
      {.name = "diffusion-kto-sd15",
       .summary = "Diffusion-KTO as published for SD1.5: the whole U-Net, beta 1000, each picture of a pair with a thumb of its own",
       .overrides = full,
       .formula = formula,
       .sources = "2404.04465; jacklishufan/diffusion-kto, train_kto_sd_v1.5.py",
       .pitfalls = pitfalls},
  };
}

}  // namespace palate
