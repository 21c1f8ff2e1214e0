// The pictures of one epoch, and the way that each of them went.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/io/safetensors.h"

namespace palate {

// N pictures of S steps.
struct Rollouts {
  int64_t epoch = -1;            // -1: there are none
  std::vector<int64_t> prompts;  // [N], in the run's list; a prompt's pictures follow one another
  Tensor x;                      // [S + 1, N, C, h, w] float32: before each step and at the end; [1, ...] where the way is not kept
  Tensor log_prob;               // [S, N] float32, of x[i + 1] given x[i]; undefined where the way is not kept
  // Of SPO: the best and the worst next state of x[i] (float32, like x but for the last), and whether they differ enough [S, N] uint8.
  Tensor win, lose, differ;
  Tensor rewards;     // [N] float64
  Tensor advantages;  // [N] float64

  int64_t count() const { return static_cast<int64_t>(prompts.size()); }
  Tensor latents() const;  // [N, C, h, w]: the ends

  // Under names that begin with "rollout.", to the bit. load: as it was saved, none where nothing was.
  void save(TensorMap& tensors) const;
  static Rollouts load(const TensorMap& tensors);
};

}  // namespace palate
