#include "palate/train/optimizer.h"

#include <torch/types.h>

#include "palate/core/error.h"

namespace palate {
namespace {

std::vector<Tensor> defined(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> kept;
  kept.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    if (tensor.defined()) kept.push_back(tensor);
  }
  return kept;
}

void restore(const std::map<std::string, Tensor>& state, const std::string& name, Tensor& into) {
  const auto found = state.find(name);
  check<FormatError>(found != state.end(), "optimizer state: expected '", name, "', found no such tensor: the checkpoint is of another run");
  check<FormatError>(found->second.sizes() == into.sizes(), "optimizer state: '", name, "' should be ", show_shape(into.sizes()), ", found ",
                     show_shape(found->second.sizes()), ": the checkpoint is of another run");
  into.copy_(found->second);
}

}  // namespace

AdamW::AdamW(const OptimizerConfig& config, std::vector<std::string> names, std::vector<Tensor> values)
    : config_(config), names_(std::move(names)), values_(std::move(values)) {
  const torch::NoGradGuard no_grad;
  for (const auto& value : values_) {
    mean_.push_back(torch::zeros_like(value));
    square_.push_back(torch::zeros_like(value));
  }
}

void AdamW::step(const std::vector<Tensor>& gradients, double lr) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  std::vector<Tensor> values, grads, means, squares;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    values.push_back(values_[i]);
    grads.push_back(gradients[i]);
    means.push_back(mean_[i]);
    squares.push_back(square_[i]);
  }
  if (values.empty()) return;
  const Tensor count = torch::full({}, static_cast<double>(steps_), values[0].options().dtype(torch::kFloat));
  const std::vector<Tensor> counts(values.size(), count);
  at::_fused_adamw_(values, grads, means, squares, {}, counts, lr, config_.beta1, config_.beta2, config_.weight_decay, config_.eps,
                    /*amsgrad=*/false, /*maximize=*/false);
}

void AdamW::save(std::map<std::string, Tensor>& state) const {
  for (size_t i = 0; i < names_.size(); ++i) {
    state["exp_avg." + names_[i]] = mean_[i];
    state["exp_avg_sq." + names_[i]] = square_[i];
  }
}

void AdamW::load(const std::map<std::string, Tensor>& state, int64_t steps) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names_.size(); ++i) {
    restore(state, "exp_avg." + names_[i], mean_[i]);
    restore(state, "exp_avg_sq." + names_[i], square_[i]);
  }
  steps_ = steps;
}

Tensor clip_gradients(const std::vector<Tensor>& gradients, double limit) {
  const torch::NoGradGuard no_grad;
  const std::vector<Tensor> grads = defined(gradients);
  if (grads.empty()) return torch::zeros({});
  const Tensor norm = at::linalg_vector_norm(torch::stack(at::_foreach_norm(grads, 2)), 2);
  if (limit > 0) at::_foreach_mul_(grads, (limit / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

}  // namespace palate
