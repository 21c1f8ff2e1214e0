// The transformer that both of CLIP's towers are made of, by transformers' names.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/models/config_reader.h"
#include "palate/nn/activation.h"
#include "palate/nn/layers.h"

namespace palate {

struct ClipTower {
  int64_t width, inner, layers, heads;
  Activation activation = Activation::gelu_quick;
  double eps = 1e-5;
};

// hidden_size, intermediate_size ..., `missing` where a config says nothing. FormatError when the width cannot be divided among the heads.
ClipTower clip_tower(const ConfigReader& config, const ClipTower& missing, const std::string& origin);

// Which tokens a token sees: those that `allowed` ([B, 1, L, L]) names; without it, itself and those before it, or all.
struct ClipSight {
  std::optional<Tensor> allowed;
  bool causal = false;
};

class ClipLayer;

class ClipEncoder : public torch::nn::Module {
 public:
  explicit ClipEncoder(const ClipTower& tower);
  // x [B, L, D] -> x, and then the output of each layer.
  std::vector<Tensor> forward(const Tensor& x, const ClipSight& sight);

 private:
  std::shared_ptr<List<ClipLayer>> layers_;
};

}  // namespace palate
