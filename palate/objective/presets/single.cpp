// Methods on good pictures alone: DCO, DreamBooth, reward-weighted regression. Sources: docs/objectives.md, sections 4, 10 and 13.
#include "palate/objective/presets.h"

namespace palate {
namespace {

using Overrides = std::vector<std::string>;

Overrides operator+(Overrides a, const Overrides& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A handful of pictures: nothing is held out, and nothing is left to validate on.
const Overrides a_lora_on_few = {"objective.error_space=output",
                                 "objective.timesteps=uniform",
                                 "full=false",
                                 "lora.alpha=0",
                                 "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]",
                                 "data.held_out=0",
                                 "optimizer.name=adamw",
                                 "optimizer.lr_schedule=constant",
                                 "optimizer.clip_norm=1",
                                 "train.accumulation=1",
                                 "train.validate_every=0"};

// kyungmnlee/dco, customize.py and its README, for SDXL.
const Overrides dco = a_lora_on_few + Overrides{"objective.loss=dco",
                                                "objective.beta=1000",
                                                "objective.beta_convention=diffusers",
                                                "objective.reference=adapters_off",
                                                "optimizer.lr=5e-5",
                                                "optimizer.weight_decay=1e-4",
                                                "text.lr=5e-6",
                                                "train.batch=1"};
const char* const dco_formula =
    "z = -beta (d - ref),  L = -log sigmoid(z), beta without a half. The reference is asked for the base prompt, in which a new word "
    "(text.word) reads as its class. Pictures of the class ([prior]) add data.prior_loss_weight times their plain error.";
const char* const dco_sources =
    "2402.12004; kyungmnlee/dco, customize.py and README: rank 32 (subject) or 64 (style), rate 5e-5, text 5e-6, batch 1, 2000 or 1000 "
    "steps. Its code takes the mean over the batch inside the sigmoid, which at its batch of 1 is the same.";
const char* const dco_pitfalls =
    "beta 1000 was found too strong for SD2.1 (dco#5): a smaller model wants a smaller one. Captions are to describe view, pose and "
    "background of each picture; a bare identifier learns the background with the subject. The strength is chosen when sampling: palate "
    "sample --guidance reward --reward-weight 2 to 5.";

// diffusers, examples/dreambooth/train_dreambooth_lora.py and its README.
const Overrides dreambooth = a_lora_on_few + Overrides{"objective.loss=dreambooth", "objective.reference=none",    "lora.rank=4",
                                                       "optimizer.lr=1e-4",         "optimizer.weight_decay=0.01", "train.steps=500"};
const char* const dreambooth_sources =
    "2208.12242; diffusers, examples/dreambooth/train_dreambooth_lora.py and README (rank 4, rate 1e-4, 500 steps). The whole U-Net is "
    "trained there at 5e-6 for 400 steps, 800 with prior preservation.";

}  // namespace

std::vector<Preset> single_presets() {
  return {
      {.name = "dco-subject",
       .summary = "DCO as published for a subject on SDXL: rank 32, beta 1000; give a new word with text.word and text.initializer",
       .overrides = dco + Overrides{"lora.rank=32", "train.steps=2000", "train.checkpoint_every=1000"},
       .formula = dco_formula,
       .sources = dco_sources,
       .pitfalls = dco_pitfalls},
      {.name = "dco-style",
       .summary = "DCO as published for a style on SDXL: rank 64, beta 1000, no new word, offset noise for flat colours",
       .overrides = dco + Overrides{"lora.rank=64", "objective.noise_offset=0.1", "train.steps=1000"},
       .formula = dco_formula,
       .sources = dco_sources,
       .pitfalls = dco_pitfalls},
      {.name = "dreambooth",
       .summary = "DreamBooth on a rank-4 LoRA, as diffusers' example, without prior preservation",
       .overrides = dreambooth + Overrides{"train.batch=1"},
       .formula = "L = d, the mean squared error on the subject's pictures",
       .sources = dreambooth_sources,
       .pitfalls = "Language drift: the class begins to look like the subject, and prompts are followed less the longer it trains."},
      {.name = "dreambooth-prior",
       .summary =
           "DreamBooth with prior preservation: 100 pictures of prior.class_prompt that the base draws, as many in a batch as others",
       .overrides = dreambooth + Overrides{"prior.preservation=true", "prior.pictures=100", "data.prior_loss_weight=1", "train.batch=2"},
       .formula =
           "L = mean of weight times d: 1 for the subject's pictures, data.prior_loss_weight for those of the class, as many of both, "
           "each with noise and timestep of its own",
       .sources =
           std::string(dreambooth_sources) +
           " Pictures of the class: 100 there, 200 in the paper. Its script adds the means of two halves of a batch: twice this loss.",
       .pitfalls = "A batch holds both kinds: with train.batch=1 and no accumulation, steps on one and on the other would alternate."},
      {.name = "reward-weighted",
       .summary = "reward-weighted regression on the LoRA of sft: each picture's error times exp(reward), over the mean of that",
       .overrides = {"objective.loss=rwr", "objective.temperature=1", "objective.error_space=output", "objective.timesteps=uniform",
                     "objective.reference=none", "full=false", "lora.rank=8", "lora.alpha=0",
                     "lora.targets=[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]", "optimizer.name=adamw", "optimizer.lr=1e-5",
                     "optimizer.lr_schedule=constant", "optimizer.clip_norm=1", "train.batch=16", "train.accumulation=2",
                     "train.steps=10000"},
       .formula = "L = w d,  w = exp(r / temperature) / mean of exp(r / temperature) over all pictures: the mean weight is 1",
       .sources = "2302.12192 and the RWR baseline of DDPO (2305.13301); constants are those of `sft`, for an equal comparison",
       .pitfalls = "A few outliers can carry all the weight: the run says how many pictures the weights amount to. Scale the reward, or "
                   "raise objective.temperature."},
  };
}

}  // namespace palate
