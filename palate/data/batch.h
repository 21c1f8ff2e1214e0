// What a training step sees of the data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/models/denoiser.h"

namespace palate {

struct PairBatch {
  std::vector<uint64_t> ids;         // one a pair
  std::vector<int64_t> rows;         // index into the cache, for cached reference errors
  Tensor latents_win, latents_lose;  // [B, C, h, w] float32, scaled; lose is undefined for single pictures
  Condition condition;               // [B, L, D], shared by winner and loser
  std::vector<std::string> prompts;  // what the condition was made from; "" where the caption was dropped
  Condition policy_condition;        // of the policy alone, where its text encoders are trained; text undefined: the condition
  Tensor preference;                 // [B] float32
  std::vector<float> weights;        // of each one's loss; empty: all 1

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
};

}  // namespace palate
