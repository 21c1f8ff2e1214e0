#include "palate/train/rollout/rollouts.h"

#include <torch/types.h>

namespace palate {
namespace {

// Of all tensors, the field of that name.
template <class Each>
void each_tensor(Rollouts& rollouts, const Each& each) {
  each("x", rollouts.x);
  each("log_prob", rollouts.log_prob);
  each("win", rollouts.win);
  each("lose", rollouts.lose);
  each("differ", rollouts.differ);
  each("rewards", rollouts.rewards);
  each("advantages", rollouts.advantages);
}

}  // namespace

Tensor Rollouts::latents() const { return x[-1]; }

void Rollouts::save(TensorMap& tensors) const {
  if (epoch < 0) return;
  tensors["rollout.epoch"] = torch::tensor({epoch}, torch::kInt64);
  tensors["rollout.prompts"] = torch::tensor(prompts, torch::kInt64);
  Rollouts copy = *this;
  each_tensor(copy, [&](const std::string& name, const Tensor& value) {
    if (value.defined()) tensors["rollout." + name] = value;
  });
}

Rollouts Rollouts::load(const TensorMap& tensors) {
  Rollouts loaded;
  if (!tensors.count("rollout.epoch")) return loaded;
  loaded.epoch = tensors.at("rollout.epoch").item<int64_t>();
  const Tensor prompts = tensors.at("rollout.prompts").contiguous();
  loaded.prompts.assign(prompts.const_data_ptr<int64_t>(), prompts.const_data_ptr<int64_t>() + prompts.numel());
  each_tensor(loaded, [&](const std::string& name, Tensor& value) {
    const auto found = tensors.find("rollout." + name);
    if (found != tensors.end()) value = found->second.clone();  // not a view into the file
  });
  return loaded;
}

}  // namespace palate
