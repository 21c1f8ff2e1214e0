#include "palate/train/rollout/rollout_config.h"

namespace palate {

void RolloutConfig::visit(Fields& f) {
  f("prompts", prompts,
    "train on the model's own pictures of these prompts; an entry is a prompt, a file of them (.txt, one a line), or world:N, so many "
    "training prompts of the embedded world; empty: train on data");
  f("judge", judge, "who scores the pictures (palate list judges)");
  f("prompts_per_epoch", prompts_per_epoch, "prompts that an epoch draws from the list, without repeats as far as it reaches", {.min = 1});
  f("pictures", pictures, "pictures that an epoch makes of each of them", {.min = 1});
  f("steps", steps, "DDIM steps of a picture", {.min = 1, .max = 1000});
  f("batch", batch, "pictures at once while sampling; changes results by rounding only", {.min = 1});
  f("guidance_scale", guidance_scale, "classifier-free guidance while sampling and training; 1 or less: off");
  f("eta", eta, "noise of each DDIM step; 1: as DDPM's", {.min = 0, .max = 1});
  f("inner_epochs", inner_epochs, "how often an epoch's pictures are gone through", {.min = 1});
  f("updates", updates, "optimizer steps each time, which share the pictures evenly; train.batch is what goes through the network at once",
    {.min = 1});
  f("timestep_fraction", timestep_fraction, "share of a picture's steps that are trained on, drawn at random", {.min = 0, .max = 1});
  f("advantage", advantage,
    "what a reward is compared with: prompt (its prompt's last rewards, DDPO), group (the prompt's pictures of this epoch), batch (all of "
    "this epoch); empty: as the loss's paper",
    {.choices = {"", "prompt", "group", "batch"}});
  f("buffer", buffer, "rewards that are remembered of each prompt", {.min = 1});
  f("min_count", min_count, "a prompt with fewer is compared with the epoch's pictures", {.min = 1});
  f("global_std", global_std, "groups are divided by the standard deviation of the whole epoch, not by their own");
  f("pairing", pairing, "pairs of a prompt's pictures: the best with the worst, or all", {.choices = {"best_worst", "all"}});
  f("min_gap", min_gap, "pictures whose scores are nearer than this make no pair; equal ones never do", {.min = 0});
  f("candidates", candidates, "spo: next states of each x_t, of which the best and the worst are compared", {.min = 2});
  f("threshold", threshold, "spo: the two count where the softmax of their scores differs by more than this", {.min = 0, .max = 1});
  f("divert_step", divert_step, "spo: the first step, from 0, that is compared; the noisiest ones promise too little", {.min = 0});
  f("refresh", refresh, "epochs after which objective.reference = \"snapshot\" becomes the policy as it is; 0: never", {.min = 0});
  f.require(timestep_fraction > 0, "rollout.timestep_fraction is 0: no step would be trained on");
  f.require(min_count <= buffer, "rollout.min_count must not be above rollout.buffer");
}

}  // namespace palate
