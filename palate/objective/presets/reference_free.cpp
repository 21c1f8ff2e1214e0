// Losses on pairs without a reference. Sources: docs/objectives.md, section 7.
#include "palate/objective/presets.h"

namespace palate {
namespace {

// mapo-t2i/mapo and diffusers' research_projects/diffusion_orpo have one recipe: SDXL, 8-bit Adam, 16 pairs a step.
std::vector<std::string> sdxl_small_recipe(std::vector<std::string> overrides, bool full) {
  overrides.insert(overrides.end(), {"objective.error_space=output", "objective.timesteps=uniform", "objective.reference=none",
                                     "data.ties=drop", "data.resolution=1024", "optimizer.name=adamw8bit", "optimizer.lr=1e-5",
                                     "optimizer.lr_schedule=constant", "optimizer.clip_norm=1", "train.batch=8", "train.accumulation=2",
                                     "train.steps=2000", "train.gradient_checkpointing=true"});
  if (full) {
    overrides.emplace_back("full=true");
  } else {
    overrides.insert(overrides.end(),
                     {"full=false", "lora.rank=8", "lora.alpha=0", "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]"});
  }
  return overrides;
}

}  // namespace

std::vector<Preset> reference_free_presets() {
  return {
      {.name = "mapo",
       .summary = "MaPO as published for SDXL: the whole U-Net without a reference, beta 0.1",
       .overrides =
           sdxl_small_recipe({"objective.loss=mapo", "objective.beta=0.1", "objective.snr_value=0.5", "objective.mapo_scale=1000"}, true),
       .formula = "h(d) = c d / (exp(c d) - 1),  z = 1000 (h(d_w) - h(d_l)),  L = d_w - beta log sigmoid(z),  c = 0.5",
       .sources = "2406.06424; mapo-t2i/mapo, utils.py and the README's command (its LoRA variant has rank 8: full=false lora.rank=8)",
       .pitfalls = "A difference of 0.005 in h is a logit of 5: the link is soon flat, and what is left is fine-tuning on the winners. "
                   "Lower mapo_scale where implicit_acc does not move."},
      {.name = "orpo",
       .summary = "Diffusion-ORPO, its sign put right, as diffusers' prototype for SDXL: a rank-8 LoRA without a reference, beta 0.1",
       .overrides = sdxl_small_recipe({"objective.loss=orpo", "objective.beta=0.1"}, false),
       .formula = "z = d_l - d_w,  L = d_w - beta log sigmoid(z)",
       .sources = "2403.07691 (for language models); huggingface/diffusers, research_projects/diffusion_orpo, superseded by MaPO. The "
                  "prototype has d_w - d_l in the link, which rewards a larger error on the preferred picture.",
       .pitfalls = "z is a difference of squared errors, some hundredths, so the link stays at 1/2: the comparison pulls with beta/2 "
                   "throughout, and nearly everything is fine-tuning on the winners."},
      // NCP's paper has the formula without numbers for the output space: beta as its NCP-DPO's, the anchor as CPO's alpha.
      {.name = "cpo",
       .summary = "CPO on a rank-8 LoRA: a comparison of errors without a reference, and an anchor on the winner",
       .overrides = with_lora_recipe({"objective.loss=cpo", "objective.beta=2500", "objective.anchor=1", "objective.error_space=output",
                                      "objective.timesteps=uniform", "objective.reference=none"}),
       .formula = "z = beta (d_l - d_w),  L = -log sigmoid(z) + anchor d_w",
       .sources = "2401.08417 (for language models, alpha 1); 2406.17636 for diffusion models, which gives no weight of the anchor. The "
                  "recipe is that of diffusion-dpo-lora.",
       .pitfalls = "Without a reference nothing holds the model where it was: with anchor = 0 it diverges, and at this beta the anchor is "
                   "small beside the comparison. Watch model_w_err, and raise objective.anchor."},
  };
}

}  // namespace palate
