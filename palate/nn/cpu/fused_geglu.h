// GEGLU on the CPU as one operation that keeps only its input for the backward pass.
#pragma once

#include "palate/core/tensor_fwd.h"

namespace palate {

// Whether fused_geglu serves this: bf16 or float32 in contiguous memory, on a CPU with AVX-512 bf16.
bool fused_geglu_serves(const Tensor& h);

// h [.., 2 D] = [a | b] -> a * gelu(b), [.., D], computed in float32 and rounded once.
Tensor fused_geglu(const Tensor& h);

}  // namespace palate
