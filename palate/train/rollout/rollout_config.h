// The [rollout] table: training on pictures that the model makes itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/config/fields.h"

namespace palate {

struct RolloutConfig {
  std::vector<std::string> prompts;  // prompts, files of prompts, "world" or "world:N"; empty: the run trains on data instead
  std::string judge = "oracle";
  int64_t prompts_per_epoch = 16, pictures = 4;  // pictures of each prompt
  int64_t steps = 50, batch = 16;                // of the sampler; pictures at once while sampling
  double guidance_scale = 5, eta = 1;            // of the sampler, and so of the policy
  int64_t inner_epochs = 1, updates = 2;
  double timestep_fraction = 1;
  std::string advantage;                // "" | prompt | group | batch
  int64_t buffer = 32, min_count = 16;  // of a prompt's rewards
  bool global_std = false;
  std::string pairing = "best_worst";  // best_worst | all
  double min_gap = 0;                  // pictures whose scores are nearer make no pair
  int64_t candidates = 4;              // SPO's next states of each x_t
  double threshold = 0.3;
  int64_t divert_step = 4;
  int64_t refresh = 1;  // epochs

  bool any() const { return !prompts.empty(); }
  int64_t samples() const { return prompts_per_epoch * pictures; }    // of an epoch
  int64_t steps_per_epoch() const { return inner_epochs * updates; }  // of the optimizer
  void visit(Fields& f);
};

}  // namespace palate
