// Noise-conditioned perception. Sources: docs/objectives.md, section 2.
#include "palate/objective/presets.h"

namespace palate {
namespace {

// 512 pairs a step; the rate is 1e-8 times them (--scale_lr).
std::vector<std::string> as_launched(std::vector<std::string> own) {
  const std::vector<std::string> common = {"objective.error_space=perceptual",
                                           "objective.timesteps=uniform",
                                           "full=false",
                                           "lora.rank=64",
                                           "lora.alpha=64",
                                           "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]",
                                           "data.ties=drop",
                                           "data.flip=true",
                                           "optimizer.name=adamw8bit",
                                           "optimizer.lr=5.12e-6",
                                           "optimizer.weight_decay=0.01",
                                           "optimizer.lr_schedule=constant_with_warmup",
                                           "optimizer.clip_norm=1",
                                           "train.gradient_checkpointing=true"};
  own.insert(own.end(), common.begin(), common.end());
  return own;
}

std::vector<std::string> on_sd15(std::vector<std::string> own) {
  const std::vector<std::string> sizes = {"objective.tap=mid", "data.resolution=512",   "optimizer.warmup_steps=250",
                                          "train.batch=16",    "train.accumulation=32", "train.steps=1500"};
  own.insert(own.end(), sizes.begin(), sizes.end());
  return as_launched(own);
}

}  // namespace

std::vector<Preset> ncp_presets() {
  const std::string space =
      "d: mean squared difference of the features that leave the frozen U-Net's encoder, at t - 1, for x' = one DDPM step from x_t with "
      "the "
      "prediction and x' = the same step with the true noise. The step's own noise is shared by both pictures, policy, reference and "
      "truth.";
  const char* sources =
      "2406.17636 v2; sakharok13/Aligning-Stable-Diffusion-with-Noise-Conditioned-Perception, its launchers. beta 2500 without the half is "
      "5000 with it. The SD1.5 launchers take the features after the mid block, the paper and the SDXL launcher before it; one of them "
      "concatenates those of all blocks, which is not done here. The paper trains on pairs cut to pictures that never lost (87,687 of "
      "851,293).";
  const std::string pitfalls =
      "d is some hundred times smaller than the error of the noise, so beta is not that of Diffusion-DPO: look at the size of z that the "
      "run "
      "tells at its start, or set beta = \"auto\". A step costs about 1.4 of DPO's. In half precision rounding is larger than what is "
      "compared, so the encoder computes in float32 (features_dtype). t = 0 has no step and is not drawn.";
  return {
      {.name = "ncp-dpo-sd15",
       .summary = "NCP-DPO as published for SD1.5: rank 64, features after the mid block, beta 5000 (2500 there), 512 pairs a step",
       .overrides = on_sd15({"objective.loss=dpo", "objective.loss_type=sigmoid", "objective.beta=5000", "objective.beta_convention=palate",
                             "objective.reference=adapters_off"}),
       .formula = "m = (ref_w - d_w) - (ref_l - d_l), z = beta/2 m, L = -log sigmoid(z)\n" + space,
       .sources = sources,
       .pitfalls = pitfalls},
      {.name = "ncp-dpo-sdxl",
       .summary = "NCP-DPO as published for SDXL: rank 64, features after the last down block, beta 5000 (2500 there), 512 pairs a step",
       .overrides =
           as_launched({"objective.loss=dpo", "objective.loss_type=sigmoid", "objective.beta=5000", "objective.beta_convention=palate",
                        "objective.reference=adapters_off", "objective.tap=down", "data.resolution=1024", "optimizer.warmup_steps=500",
                        "train.batch=8", "train.accumulation=64", "train.steps=2000"}),
       .formula = "m = (ref_w - d_w) - (ref_l - d_l), z = beta/2 m, L = -log sigmoid(z)\n" + space,
       .sources = sources,
       .pitfalls = pitfalls},
      {.name = "ncp-cpo",
       .summary = "NCP-CPO on SD1.5: no reference, beta 2500 without the half, with the winner's anchor",
       .overrides = on_sd15({"objective.loss=cpo", "objective.beta=2500", "objective.beta_convention=diffusers", "objective.anchor=1",
                             "objective.reference=none"}),
       .formula = "z = beta (d_l - d_w), L = -log sigmoid(z) + anchor d_w\n" + space,
       .sources = std::string(sources) +
                  " The anchor is in the paper's equation, with a weight that it does not tell, and not in its code: 1 "
                  "is ours.",
       .pitfalls = pitfalls + " Without a reference nothing ends the growth of the margin but the anchor."},
      {.name = "ncp-sft",
       .summary = "NCP-SFT on SD1.5: the perceptual error of the preferred pictures alone",
       .overrides = on_sd15({"objective.loss=sft", "objective.reference=none"}),
       .formula = "L = d_w\n" + space,
       .sources = sources,
       .pitfalls =
           "The timesteps weigh very differently: the step puts a factor on the error that is 25 times larger at t = 1 than at 160."},
  };
}

}  // namespace palate
