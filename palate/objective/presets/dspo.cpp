// DSPO. Sources: docs/objectives.md, section 8.
#include "palate/objective/presets.h"

namespace palate {

std::vector<Preset> dspo_presets() {
  const std::vector<std::string> common = {"objective.loss=dspo", "objective.error_space=output", "objective.timesteps=uniform"};
  std::vector<std::string> sd15 = common, sdxl = common;
  sd15.insert(sd15.end(), {"objective.form=sd15", "objective.beta=0.001"});
  sdxl.insert(sdxl.end(), {"objective.form=sdxl", "objective.beta=5000"});
  return {
      {.name = "dspo",
       .summary = "DSPO as published for SD1.5: the whole U-Net, beta 0.001, 2048 pairs a step",
       .overrides = with_full_recipe(sd15, false),
       .formula = "z = beta/2 ((ref_w - d_w) - (ref_l - d_l)),  move = p_w - pref_w\n"
                  "L = mean (p_w - target - beta (1 - sigmoid(z)) move)^2;  sigmoid(z) has its gradient",
       .sources = "ICLR 2025; huaishengzhu/DSPO, train.py and launchers/sd15.sh (beta 0.001 to 0.05 there)",
       .pitfalls =
           "The same beta stands in z, where 0.001 makes the gate 1/2 for all purposes: the loss is then fine-tuning on the winners "
           "with a push of beta/2 away from the reference, and the rejected picture counts for nothing. 500 to 1500 steps are best."},
      {.name = "dspo-sdxl",
       .summary = "DSPO as its code has it for SDXL: the gate alone, beta 5000, Adafactor, 2048 pairs a step",
       .overrides = with_full_recipe(sdxl, true),
       .formula = "L = (1 - sigmoid(z))^2 mean(move^2) where mean(move^2) >= 0.1, else (1 - sigmoid(z))^2;  z and move as in dspo",
       .sources = "huaishengzhu/DSPO, train.py and launchers/sdxl.sh. The code takes the branch by the batch's mean, we for each pair.",
       .pitfalls =
           "No term of the preferred picture's own (DSPO#3 asks why). Where the branch changes the loss jumps. 600 to 700 steps are "
           "best."},
  };
}

}  // namespace palate
