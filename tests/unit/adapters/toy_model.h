// Two adaptable layers written out, so that the adapters are tested apart from the real network's layers.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/nn/adaptable.h"

namespace palate::test {

// Numbers between -1 and 1 that no two phases share.
inline Tensor wave(std::vector<int64_t> sizes, double phase) {
  int64_t count = 1;
  for (auto size : sizes) count *= size;
  return (torch::arange(count).to(torch::kFloat32) * 0.37 + phase).sin().view(sizes);
}

struct ToyLayer : torch::nn::Module, Adaptable {
  explicit ToyLayer(const Tensor& value) { weight = register_parameter("weight", value, /*requires_grad=*/false); }
  Tensor& base_weight() override { return weight; }
  Tensor with_weight(const Tensor& x, const Tensor& w) const override { return at::conv2d(x, w, {}, {2, 1}, {1, 0}); }
  Tensor forward(const Tensor& x) {
    Tensor y = weight.dim() == 2 ? at::linear(x, weight) : with_weight(x, weight);
    if (adapters_on()) {
      for (const auto& adapter : adapters) y = y + adapter->delta(x);
    }
    return y;
  }
  Tensor weight;
};

// Names: blocks.0.to_q [6, 5], blocks.0.to_out.0 [4, 6], blocks.1.conv [3, 2, 3, 2] with stride 2x1 and padding 1x0.
struct ToyModel : torch::nn::Module {
  ToyModel() {
    const auto values = [](std::vector<int64_t> sizes) {
      return torch::arange(sizes[0] * sizes[1] * (sizes.size() > 2 ? sizes[2] * sizes[3] : 1)).to(torch::kFloat32).sin().view(sizes);
    };
    to_q = std::make_shared<ToyLayer>(values({6, 5}));
    to_out = std::make_shared<ToyLayer>(values({4, 6}));
    conv = std::make_shared<ToyLayer>(values({3, 2, 3, 2}));
    auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>());
    auto first = blocks->register_module("0", std::make_shared<torch::nn::Module>());
    auto second = blocks->register_module("1", std::make_shared<torch::nn::Module>());
    first->register_module("to_q", to_q);
    first->register_module("to_out", std::make_shared<torch::nn::Module>())->register_module("0", to_out);
    second->register_module("conv", conv);
  }
  std::shared_ptr<ToyLayer> to_q, to_out, conv;
};

}  // namespace palate::test
