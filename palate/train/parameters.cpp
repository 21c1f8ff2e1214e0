#include "palate/train/parameters.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/core/error.h"

namespace palate {

void Parameters::add(Group group) {
  check(group.names.size() == group.values.size() && (group.held.empty() || group.held.size() == group.values.size()),
        "[parameters] expected as many names as values, found ", group.names.size(), " and ", group.values.size());
  names_.insert(names_.end(), group.names.begin(), group.names.end());
  values_.insert(values_.end(), group.values.begin(), group.values.end());
  groups_.push_back(std::move(group));
  sums_.emplace_back();
}

void Parameters::add(const std::string& prefix, torch::nn::Module& module) {
  Group group;
  for (const auto& entry : module.named_parameters()) {
    group.names.push_back(prefix + entry.key());
    group.values.push_back(entry.value().set_requires_grad(true));
  }
  add(std::move(group));
}

int64_t Parameters::count() const {
  int64_t total = 0;
  for (const auto& value : values_) total += value.numel();
  return total;
}

void Parameters::collect() {
  const torch::NoGradGuard no_grad;
  for (size_t g = 0; g < groups_.size(); ++g) {
    auto& held = groups_[g].held;
    sums_[g].resize(held.size());
    for (size_t i = 0; i < held.size(); ++i) {
      Tensor& gradient = held[i].mutable_grad();
      if (!gradient.defined()) continue;
      if (sums_[g][i].defined())
        sums_[g][i].add_(gradient);
      else
        sums_[g][i] = gradient.to(torch::kFloat).contiguous();
      gradient.reset();
    }
  }
}

std::vector<Tensor> Parameters::gradients(const Group& group) const {
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (&groups_[g] == &group && !group.held.empty()) return sums_[g];
  }
  std::vector<Tensor> gradients;
  for (const auto& value : group.values) gradients.push_back(value.grad());
  return gradients;
}

void Parameters::clear_gradients() {
  for (size_t g = 0; g < groups_.size(); ++g) {
    sums_[g].clear();
    for (auto* tensors : {&groups_[g].values, &groups_[g].held}) {
      for (auto& tensor : *tensors) tensor.mutable_grad().reset();
    }
  }
}

void Parameters::publish() {
  const torch::NoGradGuard no_grad;
  for (auto& group : groups_) {
    for (size_t i = 0; i < group.held.size(); ++i) group.held[i].copy_(group.values[i]);
  }
}

}  // namespace palate
