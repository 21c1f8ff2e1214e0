#include "palate/adapters/lora_adapter.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/core/generator.h"

namespace palate {

LoraAdapter::LoraAdapter(const std::string& name, const Adaptable& layer, Tensor down_, Tensor up_, double alpha_)
    : down(std::move(down_)), up(std::move(up_)), alpha(alpha_), layer_(layer), name_hash_(stable_hash(name)) {}

Tensor LoraAdapter::delta(const Tensor& input) {
  const bool drops = dropout > 0 && draw->training;
  const Tensor x = drops ? dropped(input) : input;
  const auto dtype = input.scalar_type();
  const double scale = weight * alpha / static_cast<double>(rank());
  // The scale goes into the small matrix, in float32, before it is rounded to the activations' type: no pass over the output.
  const Tensor a = down.to(dtype);
  const Tensor b = (scale == 1 ? up : up * scale).to(dtype);
  if (down.dim() == 2) return at::linear(at::linear(x, a), b);  // [.., in] -> [.., r] -> [.., out]
  return at::conv2d(layer_.with_weight(x, a), b);               // [B, in, H, W] -> [B, r, h, w] -> [B, out, h, w]
}

DenseAdapter::DenseAdapter(const Adaptable& layer, Tensor update) : layer_(layer), update_(std::move(update)) {}

Tensor DenseAdapter::delta(const Tensor& input) {
  const Tensor update = update_.to(input.scalar_type());
  const Tensor out = update.dim() == 2 ? at::linear(input, update) : layer_.with_weight(input, update);
  return weight == 1 ? out : out * weight;
}

Tensor LoraAdapter::dropped(const Tensor& input) const {
  const auto count = static_cast<int64_t>(draw->ids.size());
  check(count > 0 && input.size(0) % count == 0, "LoRA dropout: the batch has ", input.size(0), " rows, but ", count,
        " sample ids were given: call set_dropout_draw with one id a row before the forward pass");
  const std::vector<int64_t> one(input.sizes().begin() + 1, input.sizes().end());
  std::vector<Tensor> masks;
  for (int64_t i = 0; i < count; ++i) {
    Generator generator({draw->seed, mix(draw->ids[static_cast<size_t>(i)], name_hash_), draw->draw, Purpose::lora_dropout});
    masks.push_back(generator.uniform(one).ge(dropout));
  }
  Tensor mask = at::stack(masks).to(input.device(), input.scalar_type()).mul_(1 / (1 - dropout));
  std::vector<int64_t> repeats(static_cast<size_t>(input.dim()), 1);
  repeats[0] = input.size(0) / count;
  return input * mask.repeat(repeats);
}

}  // namespace palate
