#include "palate/models/clip/clip_encoder.h"

#include <torch/types.h>

#include "palate/core/error.h"

namespace palate {
namespace {

class SelfAttention : public torch::nn::Module {
 public:
  explicit SelfAttention(const ClipTower& o) : heads_(o.heads) {
    k_proj_ = register_module("k_proj", std::make_shared<Linear>(o.width, o.width));
    v_proj_ = register_module("v_proj", std::make_shared<Linear>(o.width, o.width));
    q_proj_ = register_module("q_proj", std::make_shared<Linear>(o.width, o.width));
    out_proj_ = register_module("out_proj", std::make_shared<Linear>(o.width, o.width));
  }
  Tensor forward(const Tensor& x, const ClipSight& sight) {
    const auto split = [this](const Tensor& y) { return y.view({y.size(0), y.size(1), heads_, -1}).transpose(1, 2); };
    const Tensor y = at::scaled_dot_product_attention(split(q_proj_->forward(x)), split(k_proj_->forward(x)), split(v_proj_->forward(x)),
                                                      sight.allowed, 0.0, sight.causal && !sight.allowed);
    return out_proj_->forward(y.transpose(1, 2).reshape(x.sizes()));
  }

 private:
  int64_t heads_;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, out_proj_;
};

class Mlp : public torch::nn::Module {
 public:
  explicit Mlp(const ClipTower& o) : activation_(o.activation) {
    fc1_ = register_module("fc1", std::make_shared<Linear>(o.width, o.inner));
    fc2_ = register_module("fc2", std::make_shared<Linear>(o.inner, o.width));
  }
  Tensor forward(const Tensor& x) { return fc2_->forward(activate(fc1_->forward(x), activation_)); }

 private:
  Activation activation_;
  std::shared_ptr<Linear> fc1_, fc2_;
};

}  // namespace

class ClipLayer : public torch::nn::Module {
 public:
  explicit ClipLayer(const ClipTower& o) {
    self_attn_ = register_module("self_attn", std::make_shared<SelfAttention>(o));
    layer_norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(o.width, o.eps));
    mlp_ = register_module("mlp", std::make_shared<Mlp>(o));
    layer_norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(o.width, o.eps));
  }
  Tensor forward(const Tensor& input, const ClipSight& sight) {
    const Tensor x = input + self_attn_->forward(layer_norm1_->forward(input), sight);
    return x + mlp_->forward(layer_norm2_->forward(x));
  }

 private:
  std::shared_ptr<SelfAttention> self_attn_;
  std::shared_ptr<Mlp> mlp_;
  std::shared_ptr<LayerNorm> layer_norm1_, layer_norm2_;
};

ClipTower clip_tower(const ConfigReader& config, const ClipTower& missing, const std::string& origin) {
  const ClipTower tower{.width = config.whole("hidden_size", missing.width),
                        .inner = config.whole("intermediate_size", missing.inner),
                        .layers = config.whole("num_hidden_layers", missing.layers),
                        .heads = config.whole("num_attention_heads", missing.heads),
                        .activation = config.activation("hidden_act", "quick_gelu", transformers_activations()),
                        .eps = config.number("layer_norm_eps", missing.eps)};
  check<FormatError>(tower.heads > 0 && tower.width % tower.heads == 0, origin, ": hidden_size ", tower.width, " cannot be divided into ",
                     tower.heads, " heads");
  return tower;
}

ClipEncoder::ClipEncoder(const ClipTower& tower) {
  layers_ = register_module("layers", std::make_shared<List<ClipLayer>>());
  for (int64_t i = 0; i < tower.layers; ++i) layers_->add(std::make_shared<ClipLayer>(tower));
}

std::vector<Tensor> ClipEncoder::forward(const Tensor& x, const ClipSight& sight) {
  std::vector<Tensor> states = {x};
  for (const auto& layer : *layers_) states.push_back(layer->forward(states.back(), sight));
  return states;
}

}  // namespace palate
