// Methods that learn from the model's own pictures. Prompts and judge are the user's. Sources: docs/objectives.md, section 5.
#include "palate/objective/presets.h"

namespace palate {
namespace {

// The same in all of their public codes: SD1.5, a rank-4 LoRA on the attentions, AdamW with weight decay 1e-4, DDIM at eta 1, guidance 5.
std::vector<std::string> with_common(const std::vector<std::string>& own) {
  std::vector<std::string> all = {"full=false",
                                  "lora.rank=4",
                                  "lora.alpha=0",
                                  "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]",
                                  "optimizer.name=adamw",
                                  "optimizer.weight_decay=1e-4",
                                  "optimizer.lr_schedule=constant",
                                  "optimizer.clip_norm=1",
                                  "rollout.eta=1",
                                  "rollout.guidance_scale=5",
                                  "rollout.inner_epochs=1",
                                  "objective.reference=adapters_off",
                                  "train.validate_every=0"};
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

const char* const density =
    "\nlog p(x_s | x_t) is a mean over dimensions: of -(x_s - mean)^2 / (2 std^2) - log std - log(2 pi)/2, the step being DDIM's with "
    "guidance.";
const char* const surrogate = "L = max(-A r, -A clip(r, 1 +- clip)), r = exp(log p - log p_old), A clamped to +-advantage_clip";
const char* const pairs = "z = beta (log r_w - log r_l), r = clip(p / p_ref, 1 +- clip), L = -log sigmoid(z)";

Preset ddpo() {
  return {
      .name = "ddpo",
      .summary = "DDPO as ddpo-pytorch runs it on SD1.5: 256 pictures an epoch, 50 steps, clip 1e-4, rate 3e-4, rank 4",
      .overrides = with_common({"objective.loss=ddpo", "objective.clip=1e-4", "objective.advantage_clip=5", "rollout.prompts_per_epoch=256",
                                "rollout.pictures=1", "rollout.steps=50", "rollout.advantage=prompt", "rollout.buffer=32",
                                "rollout.min_count=16", "rollout.updates=4", "optimizer.lr=3e-4", "train.batch=4", "train.steps=800"}),
      .formula = std::string(surrogate) + "\nA = (r - mean) / std over the last rewards of the same prompt." + density,
      .sources =
          "2305.13301; kvablack/ddpo-pytorch, config/dgx.py (prompt_image_alignment): 8 processes of 8 x 4 pictures, 4 updates of "
          "them, 200 epochs.",
      .pitfalls =
          "There is no tie to the base: the reward is over-optimised in the end, with many prompts sooner; stop by looking. Full "
          "training collapses (ddpo-pytorch#7): use a LoRA."};
}

Preset dpok() {
  return {.name = "dpok",
          .summary = "DPOK on SD1.5: the policy gradient with reward_weight 10 and a KL to the reference of 0.01 in every step",
          .overrides = with_common({"objective.loss=dpok", "objective.clip=1e-4", "objective.reward_weight=10", "objective.kl_weight=0.01",
                                    "rollout.guidance_scale=7.5", "rollout.prompts_per_epoch=6", "rollout.pictures=1", "rollout.steps=50",
                                    "rollout.advantage=prompt", "rollout.updates=5", "rollout.timestep_fraction=0.4", "optimizer.lr=1e-5",
                                    "optimizer.weight_decay=0", "optimizer.clip_norm=0.1", "train.batch=2", "train.steps=10000"}),
          .formula =
              "L = reward_weight max(-A r, -A clip(r, 1 +- clip)) + kl_weight mean (mean - mean_ref)^2 / (2 std^2)" + std::string(density),
          .sources =
              "2305.16381; google-research/google-research, dpok/train_online_pg.py: rate 1e-5, clip norm 0.1, 5 updates of 24 steps for "
              "every 6 pictures, reward weight 100 (the paper: 10). There the baseline is a learned value, the ratio is clamped on both "
              "sides, and the KL is a squared difference of predicted noise; here they are the mean of a prompt's last rewards, DDPO's "
              "surrogate, and the paper's KL.",
          .pitfalls = "The paper trains one prompt a run. Adam does not see the size of reward_weight, only its ratio to kl_weight."};
}

Preset d3po() {
  return {.name = "d3po",
          .summary = "D3PO as published for SD1.5: all pairs of a prompt's 7 pictures, 20 steps, beta 0.1, ratios clipped at 0.1",
          .overrides = with_common({"objective.loss=d3po", "objective.beta=0.1", "objective.clip=0.1", "rollout.prompts_per_epoch=3",
                                    "rollout.pictures=7", "rollout.steps=20", "rollout.pairing=all", "rollout.updates=20",
                                    "optimizer.lr=3e-5", "train.batch=1", "train.steps=8000"}),
          .formula = pairs + std::string(", for the same step of two pictures of one prompt.") + density,
          .sources = "2311.13231; yk7333/d3po, config/base.py and scripts/train.py (rate 3e-5, 400 epochs of 20 pictures).",
          .pitfalls =
              "The clip keeps |z| below 0.02, so the loss stays at 0.693 by construction: look at implicit_acc and reward_mean. With a "
              "clip of 0.2 pictures fell apart (d3po#4)."};
}

Preset spo() {
  return {
      .name = "spo",
      .summary = "SPO as published for SD1.5: the best and worst of 4 next states from step 4 of 20 on, beta 10, threshold 0.3",
      .overrides = with_common({"objective.loss=spo", "objective.beta=10", "objective.clip=0.1", "rollout.prompts_per_epoch=40",
                                "rollout.pictures=1", "rollout.steps=20", "rollout.candidates=4", "rollout.threshold=0.3",
                                "rollout.divert_step=4", "rollout.updates=16", "optimizer.lr=6e-5", "train.batch=10", "train.steps=16000"}),
      .formula = pairs + std::string(", for two next states of one x_t, told apart by the pictures that they promise.") + density,
      .sources =
          "2406.04314; RockeyCoss/SPO, configs/basic_config.py: 10 epochs of 4000 prompts, 4 processes of 10. Its judge is PickScore "
          "made to read noisy pictures; here any judge reads the decoded estimate of the clean picture.",
      .pitfalls =
          "The judge must tell apart pictures that differ little, at a scale for which a softmax difference of the threshold means "
          "something. Only samplers that add noise."};
}

Preset online_dpo() {
  return {.name = "online-dpo",
          .summary = "online DPO: the best and worst of 24 own pictures, Diffusion-DPO on them, the reference renewed as it goes",
          .overrides =
              with_common({"objective.loss=dpo", "objective.loss_type=sigmoid", "objective.beta=2000", "objective.error_space=output",
                           "objective.timesteps=uniform", "objective.reference=snapshot", "rollout.prompts_per_epoch=48",
                           "rollout.pictures=24", "rollout.steps=20", "rollout.eta=0", "rollout.pairing=best_worst", "rollout.updates=2",
                           "rollout.refresh=20", "lora.rank=32", "optimizer.lr=1e-4", "train.batch=8", "train.steps=1000"}),
          .formula =
              "Diffusion-DPO's loss (diffusion-dpo-sd15) on the latents of the policy's own pictures; the reference is the policy of some "
              "epochs ago.",
          .sources =
              "yifan123/flow_grpo's DPO: best and worst of 24, the reference renewed every 40 updates, beta 100 for a flow. Here beta is "
              "the Diffusion-DPO paper's for SD1.5; 20 epochs of two updates are the same 40.",
          .pitfalls =
              "With a reference that follows, nothing holds the model near the base: watch the pictures. The best and the worst of many "
              "differ in what the judge sees and in nothing else."};
}

Preset flow_grpo() {
  return {
      .name = "flow-grpo",
      .summary = "Flow-GRPO's objective for models with a table of betas: groups of 24, advantages within them, KL 0.04",
      .overrides = with_common({"objective.loss=flow-grpo", "objective.clip=1e-4", "objective.advantage_clip=5", "objective.kl_weight=0.04",
                                "rollout.guidance_scale=4.5", "rollout.prompts_per_epoch=48", "rollout.pictures=24", "rollout.steps=10",
                                "rollout.advantage=group", "rollout.global_std=true", "rollout.updates=2", "lora.rank=32", "lora.alpha=64",
                                "optimizer.lr=3e-4", "train.ema=0.9", "train.batch=9", "train.steps=2000"}),
      .formula = std::string(surrogate) +
                 " + kl_weight mean (mean - mean_ref)^2 / (2 std^2)\nA = (r - mean of the group) / std. Prompts whose "
                 "pictures are all alike are left out." +
                 density,
      .sources =
          "2505.05470; yifan123/flow_grpo, config/grpo.py for SD3.5-M: KL 0.04 (GenEval, OCR), 0.01 (PickScore). There the step is "
          "the SDE of a flow; here DDIM's.",
      .pitfalls = "Groups below 24 are unstable (their paper). Without the KL quality and diversity go."};
}

}  // namespace

std::vector<Preset> rollout_presets() { return {ddpo(), dpok(), d3po(), spo(), online_dpo(), flow_grpo()}; }

}  // namespace palate
