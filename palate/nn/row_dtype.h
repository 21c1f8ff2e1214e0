// The element types of the row kernels (row_kernels.h).
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

namespace palate::rows {

// use(T()) with the type of x's elements: bf16 or float32, which the caller has made sure of.
template <class Use>
void for_dtype(const at::Tensor& x, const Use& use) {
  if (x.scalar_type() == at::kBFloat16) return use(c10::BFloat16());
  use(float());
}

}  // namespace palate::rows
