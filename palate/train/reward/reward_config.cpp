#include "palate/train/reward/reward_config.h"

#include "palate/train/run_config.h"

namespace palate {

void RewardConfig::visit(Fields& f) {
  f("from_scratch", from_scratch, "fresh weights for the model folder's config.json; else its weights are trained on");
  f("tokenizer", tokenizer, "folder of the tokenizer of a model from scratch; \"\": the model folder's own");
  f("even_prompts", even_prompts, "each prompt weighs the same, however many pairs it has (as PickScore); else each pair does");
  loss.visit(f);
}

void require_reward_model(Fields& f, const RunConfig& c) {
  if (c.task != "reward-model") return;
  const DataConfig& data = c.data;
  f.require(data.images.empty(), "data.images: a reward model compares pictures: give data.pairs");
  f.require(!c.rollout.any(), "rollout.prompts: a reward model learns from pairs that are there already: give data.pairs");
  f.require(
      !data.flip && data.crop == "center" && data.variants == 1 && !data.enable_bucket && data.resolution == 0 && data.caption_dropout == 0,
      "data: a reward model sees pictures as its preprocessor_config.json says: leave resolution, crop, flip, variants, enable_bucket and "
      "caption_dropout out");
  f.require(c.train.dtype == "float32", "train.dtype: reward models are trained in float32");
  f.require(
      !c.train.gradient_checkpointing,
      "train.gradient_checkpointing: is not there for reward models: a smaller train.batch with more train.accumulation needs less memory");
  f.require(c.sample.prompts.empty(), "sample.prompts: a reward model draws no pictures: leave them out");
  f.require(!c.text.any(), "text: a reward model trains its text tower anyway: leave text.lora and text.word out");
}

}  // namespace palate
