#include "palate/train/ema.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"

namespace palate {

Ema::Ema(double decay, std::vector<std::string> names, const std::vector<Tensor>& values) : decay_(decay), names_(std::move(names)) {
  const torch::NoGradGuard no_grad;
  for (const auto& value : values) mean_.push_back(value.detach().clone());
}

void Ema::update(const std::vector<Tensor>& values) {
  const torch::NoGradGuard no_grad;
  const double m = static_cast<double>(updates_++);
  const double decay = m <= 0 ? 0 : std::min(decay_, (1 + m) / (10 + m));
  // mean - (1 - decay) (mean - value), in diffusers' order of operations
  std::vector<Tensor> difference = at::_foreach_sub(mean_, values);
  at::_foreach_mul_(difference, 1 - decay);
  at::_foreach_sub_(mean_, difference);
}

void Ema::swap(const std::vector<Tensor>& values) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < mean_.size(); ++i) {
    const Tensor kept = values[i].clone();
    Tensor value = values[i];
    value.copy_(mean_[i]);
    mean_[i].copy_(kept);
  }
}

void Ema::save(std::map<std::string, Tensor>& state) const {
  for (size_t i = 0; i < names_.size(); ++i) state["ema." + names_[i]] = mean_[i];
}

void Ema::load(const std::map<std::string, Tensor>& state, int64_t updates) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = state.find("ema." + names_[i]);
    check<FormatError>(found != state.end() && found->second.sizes() == mean_[i].sizes(), "ema state: expected '", names_[i], "' of shape ",
                       show_shape(mean_[i].sizes()), ": the checkpoint is of a run without ema, or of another model");
    mean_[i].copy_(found->second);
  }
  updates_ = updates;
}

}  // namespace palate
