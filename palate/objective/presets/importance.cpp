// DPO-C&M and SDPO of 2505.21893. Sources: docs/objectives.md, section 3.
#include "palate/objective/presets.h"

namespace palate {
namespace {

Preset importance_preset(const char* loss, const char* weight, const char* summary, const char* logits) {
  return {
      .name = loss,
      .summary = summary,
      .overrides = {std::string("objective.loss=") + loss,
                    std::string("objective.weight=") + weight,
                    "objective.beta=1",
                    "objective.beta_convention=per-T",
                    "objective.importance=expected",
                    "objective.ratio=posterior",
                    "objective.threshold=0.9",
                    "objective.quantile=0",
                    "objective.clip=0.1",
                    "objective.sampler_steps=50",
                    "objective.error_space=output",
                    "objective.timesteps=importance",
                    "objective.mask_threshold=0.9",
                    "objective.mask_keep=0.05",
                    "objective.reference=adapters_off",
                    "full=false",
                    "lora.rank=8",
                    "lora.alpha=0",
                    "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]",
                    "data.ties=drop",
                    "optimizer.name=adamw",
                    "optimizer.lr=1e-5",
                    "optimizer.lr_schedule=constant",
                    "optimizer.clip_norm=1",
                    "train.batch=16",
                    "train.accumulation=2",
                    "train.steps=10000"},
      .formula =
          std::string("w = exp(-omega/2 d), omega of the sampler's step t -> s: the policy's step to the true posterior's; no gradient\n"
                      "v = clip(w, 0.9, 1.1), M = [min(w_w, w_l) >= 0.9]\n") +
          logits + "\ntimesteps: a bucket whose running mean of w is below 0.9 is drawn a twentieth as often as the others.",
      .sources =
          "2505.21893 (SDPO, since 2025-09 SIPO). Its second version says of the main theorem and its proof that they have a critical "
          "error; "
          "its code could not be had, and of its text the abstract and reviews: the weight p / q, threshold 0.9, a clip to [1 - c, 1 + c] "
          "and "
          "the betas are theirs (images 1 for this and 5 for DPO, videos 0.02 and 2, in per-T by inference). The rest is derived: expected "
          "weights, a mean over dimensions, steps of a 50-step sampler, c = 0.1, the running mean. LoRA, rate and steps are "
          "diffusion-dpo-lora's. Not Diffusion-SDPO (2511.03317), not TRL's SDPO, not stepwise-decomposition SDPO (2507.04832).",
      .pitfalls =
          "At equal beta it is DPO without the timesteps of least noise, 2 to 5 of 100: what survives the mask has w between 0.9 and 1, "
          "so the clip never acts, and little difference is to be expected unless beta is so small that errors grow, which the mask drops. "
          "Beside a DPO of another beta it is the betas that are "
          "compared: run dpo at the same one. Look at masked and clipped in the metrics; quantile and importance=sampled make the "
          "weights bite."};
}

}  // namespace

std::vector<Preset> importance_presets() {
  return {
      importance_preset(
          "dpo-cm", "outside",
          "DPO-C&M (2505.21893): DPO with clipped importance weights before the loss, steps of low weight masked; derived, not read",
          "z = beta/2 (g_w - g_l), g = d_ref - d; L = sum of M min(v_w, v_l) (-log sigmoid z) / max(1, sum of M)"),
      importance_preset("sdpo", "inside",
                        "SDPO of 2505.21893, renamed SIPO (not Diffusion-SDPO): importance weights inside the logits; derived, not read",
                        "z = beta/2 (v_w g_w - v_l g_l), g = d_ref - d; L = sum of M (-log sigmoid z) / max(1, sum of M)")};
}

}  // namespace palate
