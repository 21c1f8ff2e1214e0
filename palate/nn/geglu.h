// GEGLU as one operation that keeps only its input for the backward pass.
#pragma once

#include "palate/core/tensor.h"

namespace palate {

// h [.., 2 D] = [a | b] -> a * gelu(b), [.., D], gelu with the error function. On a CPU with AVX-512 bf16 our own kernel, which
// computes in float32 and rounds once; elsewhere libtorch's operators.
Tensor geglu(const Tensor& h);

}  // namespace palate
