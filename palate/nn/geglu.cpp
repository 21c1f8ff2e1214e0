#include "palate/nn/geglu.h"

#include <torch/types.h>

#include "palate/nn/cpu/fused_geglu.h"

namespace palate {

Tensor geglu(const Tensor& h) {
  if (fused_geglu_serves(h)) return fused_geglu(h);
  const auto halves = h.chunk(2, -1);
  return halves[0] * torch::gelu(halves[1]);
}

}  // namespace palate
