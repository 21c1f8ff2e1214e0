// GroupNorm with what follows it as one operation that keeps only its input and the statistics for the backward
// pass and computes the rest again.
#pragma once

#include <cstdint>
#include <optional>

#include "palate/nn/activation.h"

namespace palate {

struct GroupNormOptions {
  int64_t groups = 32;
  double eps = 1e-5;
  std::optional<Activation> activation;
};

// x [B, C, H, W], weight and bias [C] -> the same shape and memory format as x. Statistics are float32 whatever x's dtype, and
// the normalised value is not rounded before SiLU. On a CPU with AVX-512 bf16, for x in channels-last memory and a frozen
// weight and bias, with SiLU or nothing after it, our own kernel; otherwise libtorch's operators.
Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormOptions& options);

// Whether that kernel is there for a model with this activation, on this processor: without it, channels-last memory is no gain.
bool has_own_group_norm(Activation activation);

}  // namespace palate
