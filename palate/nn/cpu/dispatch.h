// What our CPU kernels ask of the processor and of a tensor's type before they serve it.
#pragma once

#include <torch/types.h>

#include "palate/core/tensor.h"

namespace palate {

bool avx512_bf16_supported();  // this processor has AVX-512 F/BW/VL/DQ and BF16

inline bool is_bf16_or_float32(const Tensor& x) { return x.scalar_type() == torch::kBFloat16 || x.scalar_type() == torch::kFloat32; }

// use(T()), T the type of x's numbers, for x of which that holds.
template <class Use>
void for_dtype(const Tensor& x, const Use& use) {
  if (x.scalar_type() == torch::kBFloat16) return use(c10::BFloat16());
  use(float());
}

}  // namespace palate
