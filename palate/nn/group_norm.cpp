#include "palate/nn/group_norm.h"

#include <torch/types.h>

#include "palate/nn/cpu/frozen_group_norm.h"

namespace palate {

bool has_own_group_norm(Activation activation) { return activation == Activation::silu && frozen_group_norm_supported(); }

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormOptions& o) {
  if (has_own_group_norm(o.activation.value_or(Activation::silu)) && frozen_group_norm_serves(x, weight, bias, o.groups))
    return frozen_group_norm(x, weight, bias, {.groups = o.groups, .eps = o.eps, .silu = o.activation == Activation::silu});
  // libtorch 2.11's channels-last kernel takes the variance as the difference of two means, which loses float32's digits; and its backward
  // writes the input's gradient even where nobody asked for it, to no memory.
  const bool as_it_is = x.scalar_type() != torch::kFloat32 && (x.requires_grad() || is_frozen(weight));
  const Tensor y = torch::group_norm(as_it_is ? x : x.contiguous(), o.groups, weight.to(x.scalar_type()), bias.to(x.scalar_type()), o.eps)
                       .contiguous(x.suggest_memory_format());
  return o.activation ? activate(y, *o.activation) : y;
}

}  // namespace palate
