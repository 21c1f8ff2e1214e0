// The statistics that pass between the axes of the grid. All [B] tensors are float32.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "palate/core/tensor.h"

namespace palate {

// Distances of predictions from their target: mean over channels and pixels of the squared difference.
struct PairErrors {
  Tensor policy_win, policy_lose;        // [B], with gradients
  Tensor reference_win, reference_lose;  // [B], without; undefined when the loss needs no reference
  Tensor preference;                     // [B], P(win is preferred), 1 for a plain pair
};

// One draw of the noising: shared by winner and loser, policy and reference.
struct Draw {
  Tensor t;       // [B] int64
  Tensor weight;  // [B] float32, 1 for the uniform policy
  Tensor noise;   // [B, C, h, w] float32
};

struct LossOutput {
  Tensor loss;                     // [B]; the batch mean is taken outside, never inside the logsigmoid
  Tensor logits;                   // [B], z of docs/objectives.md, section 1; undefined for losses without one
  Tensor reward_win, reward_lose;  // [B] implicit rewards, detached; undefined without a reference
};

}  // namespace palate
