// [reward]: what a reward model is made of and trained with (task = "reward-model").
#pragma once

#include <string>

#include "palate/config/fields.h"
#include "palate/objective/bradley_terry.h"

namespace palate {

struct RunConfig;

struct RewardConfig {
  bool from_scratch = false;  // fresh weights of the model folder's config.json
  std::string tokenizer;      // folder of the tokenizer of a model from scratch; "": the model folder's own
  bool even_prompts = false;  // a pair weighs 1 / (pairs of its prompt)
  BradleyTerryConfig loss;
  void visit(Fields& f);
};

// What holds between task = "reward-model" and the rest.
void require_reward_model(Fields& f, const RunConfig& config);

}  // namespace palate
