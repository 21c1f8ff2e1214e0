// Reward models, which are judges then. Sources: docs/objectives.md, section 16.
#include "palate/objective/presets.h"

namespace palate {

std::vector<Preset> reward_presets() {
  return {{.name = "reward-model",
           .summary = "PickScore's recipe for a reward model: a whole CLIPModel, Bradley-Terry on its scores, 128 pairs a step",
           .overrides = {"task=reward-model", "reward.ties=half", "reward.label_smoothing=0", "reward.even_prompts=true", "data.ties=soft",
                         "optimizer.name=adamw", "optimizer.lr=3e-6", "optimizer.weight_decay=0.3", "optimizer.lr_schedule=linear",
                         "optimizer.warmup_steps=500", "optimizer.clip_norm=1", "train.batch=16", "train.accumulation=8",
                         "train.steps=4000", "train.validate_every=100", "train.validation_pairs=0", "train.keep_best=true"},
           .formula = "s = exp(logit_scale) cos(picture, prompt), L = -[P log sigmoid(s_w - s_l) + (1 - P) log sigmoid(s_l - s_w)]\n"
                      "P = 1 for a choice and 1/2 for a tie; each prompt weighs the same, however many pairs it has.",
           .sources = "2305.01569; yuvalkirstain/PickScore, +experiment=clip_h (laion/CLIP-ViT-H-14-laion2B-s32B-b79K): 8 processes of 16 "
                      "pairs, DeepSpeed's AdamW and WarmupDecayLR, the checkpoint with the best accuracy. There tied pairs' loss has "
                      "log 2 taken off, which has no gradient, and passes compute in bf16; here in float32.",
           .pitfalls = "The score of a picture alone means nothing: compare scores of one prompt. A model that is trained against it "
                       "learns its faults: judge with another one. Held-out accuracy can be no better than the labels agree with "
                       "themselves."}};
}

}  // namespace palate
