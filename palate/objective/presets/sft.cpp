// Fine-tuning, the baseline. Sources: docs/objectives.md, section 13.
#include "palate/objective/presets.h"

namespace palate {

std::vector<Preset> sft_presets() {
  return {{.name = "sft",
           .summary = "fine-tuning on the winners with the LoRA of diffusion-dpo-lora: the baseline at equal compute",
           .overrides = with_lora_recipe(
               {"objective.loss=sft", "objective.error_space=output", "objective.timesteps=uniform", "objective.reference=none"}),
           .formula = "L = d_w, the mean squared error on the preferred picture. The rejected one is not looked at.",
           .sources = "the SFT rows of Diffusion-DPO (2311.12908). Constants are those of diffusion-dpo-lora, for an equal comparison.",
           .pitfalls = "It helps SD1.5 (55.5 % against the base in that paper) and harms SDXL, whose own pictures are better than the "
                       "data's."}};
}

}  // namespace palate
