#include "palate/nn/layers.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/nn/frozen_conv.h"

namespace palate {
namespace {

Tensor like(const Tensor& parameter, const Tensor& x) { return parameter.defined() ? parameter.to(x.scalar_type()) : parameter; }

Tensor with_adapters(Tensor y, const Tensor& x, const Adaptable& layer) {
  for (const auto& adapter : layer.adapters) {
    if (active_adapters() & adapter_set(adapter->set)) y = y + adapter->delta(x);
  }
  return y;
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, Bias with_bias) {
  weight = register_parameter("weight", torch::empty({out, in}), false);
  if (with_bias == Bias::with) bias = register_parameter("bias", torch::empty({out}), false);
}
Tensor Linear::forward(const Tensor& x) { return with_adapters(torch::linear(x, like(weight, x), like(bias, x)), x, *this); }
Tensor Linear::with_weight(const Tensor& input, const Tensor& other) const { return torch::linear(input, like(other, input)); }

Conv2d::Conv2d(int64_t in, int64_t out, ConvGeometry geometry) : geometry_(geometry) {
  weight = register_parameter("weight", torch::empty({out, in, geometry.kernel, geometry.kernel}), false);
  bias = register_parameter("bias", torch::empty({out}), false);
}
Tensor Conv2d::forward(const Tensor& x) {
  return with_adapters(conv2d(x, like(weight, x), like(bias, x), geometry_.stride, geometry_.padding), x, *this);
}
Tensor Conv2d::with_weight(const Tensor& input, const Tensor& other) const {
  return torch::conv2d(input, like(other, input), {}, geometry_.stride, geometry_.padding);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : groups_(groups), eps_(eps) {
  check<UsageError>(groups > 0 && channels % groups == 0, "[group norm] ", channels, " channels cannot be divided into ", groups,
                    " groups");
  weight = register_parameter("weight", torch::empty({channels}), false);
  bias = register_parameter("bias", torch::empty({channels}), false);
}
Tensor GroupNorm::forward(const Tensor& x, std::optional<Activation> activation) {
  return group_norm(x, weight, bias, {.groups = groups_, .eps = eps_, .activation = activation});
}

LayerNorm::LayerNorm(int64_t size, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::empty({size}), false);
  bias = register_parameter("bias", torch::empty({size}), false);
}
Tensor LayerNorm::forward(const Tensor& x) { return torch::layer_norm(x, weight.sizes(), like(weight, x), like(bias, x), eps_); }

Embedding::Embedding(int64_t count, int64_t size) { weight = register_parameter("weight", torch::empty({count, size}), false); }
Tensor Embedding::forward(const Tensor& ids) { return torch::embedding(weight, ids); }

}  // namespace palate
