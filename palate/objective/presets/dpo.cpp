// Diffusion-DPO and what differs from it in constants alone. Sources: docs/objectives.md, section 1.
#include "palate/objective/presets.h"

namespace palate {

std::vector<Preset> dpo_presets() {
  const char* formula =
      "m = (ref_w - d_w) - (ref_l - d_l), z = beta/2 m, L = -log sigmoid(z)\n"
      "d: mean squared error of the network's own output; t and noise are shared by both pictures, policy and reference.";
  const char* pitfalls =
      "The loss looks flat near 0.693 although the win rate rises: look at implicit_acc. Both errors grow while the margin grows: look at "
      "w_diff, and set anchor or safeguard above 0. A LoRA at the rates of full training spikes and ends in noise.";
  return {
      // The launcher for SD1.5. Its learning rate is 1e-8 times the 2048 pairs of a step; the paper prints a thousandth of that, which
      // does not train.
      {.name = "diffusion-dpo-sd15",
       .summary = "Diffusion-DPO as published for SD1.5: the whole U-Net, beta 5000, 2048 pairs a step",
       .overrides = {"objective.loss=dpo",
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
                     "train.steps=2000"},
       .formula = formula,
       .sources = "2311.12908; SalesforceAIResearch/DiffusionDPO, its launcher for SD1.5. The paper has beta 2000 for SD1.5, the launcher "
                  "5000; the paper's printed rate is a thousandth of the launcher's and does not train.",
       .pitfalls = pitfalls},
      // diffusers' research_projects/diffusion_dpo: beta 2500 without the half is beta 5000 with it.
      {.name = "diffusion-dpo-lora",
       .summary = "Diffusion-DPO on a rank-8 LoRA, as diffusers' example: beta 5000 (2500 there), reference = adapters off",
       .overrides = {"objective.loss=dpo", "objective.loss_type=sigmoid", "objective.beta=5000", "objective.error_space=output",
                     "objective.timesteps=uniform", "objective.reference=adapters_off", "full=false", "lora.rank=8", "lora.alpha=0",
                     "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]", "data.ties=drop", "optimizer.name=adamw",
                     "optimizer.lr=1e-5", "optimizer.lr_schedule=constant", "optimizer.clip_norm=1", "train.batch=16",
                     "train.accumulation=2", "train.steps=10000"},
       .formula = formula,
       .sources = "2311.12908; huggingface/diffusers, research_projects/diffusion_dpo: beta 2500 without the half is beta 5000 with it.",
       .pitfalls = pitfalls},
  };
}

}  // namespace palate
