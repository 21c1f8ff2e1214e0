// GroupNorm with frozen weights on the CPU, with SiLU or nothing after it, as one operation that keeps only its input and the statistics
// for the backward pass and computes the rest again.
#pragma once

#include <cstdint>

#include "palate/core/tensor_fwd.h"

namespace palate {

struct FrozenGroupNormOptions {
  int64_t groups = 32;
  double eps = 1e-5;
  bool silu = false;  // after it
};

bool frozen_group_norm_supported();       // on this processor: AVX-512 with bf16
bool is_frozen(const Tensor& parameter);  // needs no gradient here

// Whether frozen_group_norm serves these: bf16 or float32 in channels-last memory on such a processor, weight and bias frozen.
bool frozen_group_norm_serves(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups);

// x [B, C, H, W], weight and bias [C] -> the same shape and memory format as x. Statistics are float32 whatever x's dtype, and the
// normalised value is not rounded before SiLU.
Tensor frozen_group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const FrozenGroupNormOptions& options);

}  // namespace palate
