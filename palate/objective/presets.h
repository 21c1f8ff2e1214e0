// Methods of papers as named points of the grid. One file a family (presets/), and one line of presets.cpp.
#pragma once

#include <string>
#include <vector>

namespace palate {

// The texts are for `palate explain`: sentences in plain ASCII, "\n" where a line must end.
struct Preset {
  std::string name;
  std::string summary;                 // one line, for palate list
  std::vector<std::string> overrides;  // "objective.loss=dpo": what --preset sets
  std::string formula;                 // what is minimised
  std::string sources;                 // the paper, the code that was read, and where a constant is from neither
  std::string pitfalls;                // what is known to go wrong
};

const std::vector<Preset>& all_presets();

// These overrides, and a recipe for methods whose papers give none of their own, so that they compare: LoRA, rate and batch of diffusers'
// example of Diffusion-DPO (research_projects/diffusion_dpo, its README).
std::vector<std::string> with_lora_recipe(std::vector<std::string> overrides);
// The same with the recipe of the launchers of SalesforceAIResearch/DiffusionDPO for SD1.5 or SDXL, which DSPO, InPO and others took over:
// the whole U-Net, a rate of 1e-8 for each of 2048 pairs.
std::vector<std::string> with_full_recipe(std::vector<std::string> overrides, bool sdxl);

// UsageError names the nearest for an unknown name.
const Preset& find_preset(const std::string& name);

}  // namespace palate
