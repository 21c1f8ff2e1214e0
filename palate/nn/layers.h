// The layers that hold parameters. Parameters may be float32 while activations are bf16 (trained weights under mixed
// precision): a forward pass brings the weight to its input's dtype, which costs nothing when they are equal.
// New layers hold uninitialised memory: a loader or init.h fills them.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "palate/nn/adaptable.h"
#include "palate/nn/group_norm.h"

namespace palate {

// Every Linear and Conv2d below `model`, by its full dotted name, in the order of registration.
void for_each_adaptable(torch::nn::Module& model, const std::function<void(const std::string& name, Adaptable& layer)>& use);

enum class Bias { with, without };

// y = x W^T + b, x [.., in] -> [.., out].
class Linear : public torch::nn::Module, public Adaptable {
 public:
  Linear(int64_t in, int64_t out, Bias with_bias = Bias::with);
  Tensor forward(const Tensor& x);
  Tensor& base_weight() override { return weight; }
  Tensor with_weight(const Tensor& input, const Tensor& other) const override;
  Tensor weight, bias;
};

struct ConvGeometry {
  int64_t kernel = 3, stride = 1, padding = 1;
};

// x [B, in, H, W] -> [B, out, H', W'].
class Conv2d : public torch::nn::Module, public Adaptable {
 public:
  Conv2d(int64_t in, int64_t out, ConvGeometry geometry = {});
  Tensor forward(const Tensor& x);
  Tensor& base_weight() override { return weight; }
  Tensor with_weight(const Tensor& input, const Tensor& other) const override;
  Tensor weight, bias;

 private:
  ConvGeometry geometry_;
};

// Statistics in float32 whatever the input's dtype.
class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps);
  Tensor forward(const Tensor& x, std::optional<Activation> activation = std::nullopt);  // the activation after it, in one operation
  Tensor weight, bias;

 private:
  int64_t groups_;
  double eps_;
};

class LayerNorm : public torch::nn::Module {
 public:
  explicit LayerNorm(int64_t size, double eps = 1e-5);
  Tensor forward(const Tensor& x);
  Tensor weight, bias;

 private:
  double eps_;
};

class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t count, int64_t size);
  Tensor forward(const Tensor& ids);
  Tensor weight;
};

// Modules that are addressed by number ("resnets.0"): registered under "0", "1", ...
template <class Member>
class List : public torch::nn::Module {
 public:
  void add(std::shared_ptr<Member> member) { members_.push_back(register_module(std::to_string(members_.size()), std::move(member))); }
  size_t size() const { return members_.size(); }
  bool empty() const { return members_.empty(); }
  Member& operator[](size_t index) const { return *members_.at(index); }
  auto begin() const { return members_.begin(); }
  auto end() const { return members_.end(); }

 private:
  std::vector<std::shared_ptr<Member>> members_;
};

}  // namespace palate
