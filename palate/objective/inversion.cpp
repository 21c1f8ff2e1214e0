// InPO's noising (2503.18454; JaydenLyh/InPO): x_t is where the policy's own DDIM inversion of the clean picture arrives.
#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/objective/objective.h"

namespace palate {
namespace {

// [B]: the deviation of the posterior q(x_s | x_t, x0), which scales the random term: DDIM's at eta = 1 (2010.02502, equation 16).
Tensor posterior_std(const NoiseProcess& process, const Tensor& t, const Tensor& s) {
  const Tensor kept = (process.alpha(t) / process.alpha(s)).square();
  return process.sigma(s) / process.sigma(t) * (1 - kept).clamp_min(0).sqrt();
}

}  // namespace

void Objective::check_noising() const {
  if (config_.noising != "inverted") return;
  const TimestepRange range = process_.range();
  const bool table = range.whole && process_.prediction() != Prediction::sample;
  check<UsageError>(table,
                    "objective.noising: \"inverted\" is for models that predict noise or v at whole timesteps: set it to \"forward\"");
  check<UsageError>(static_cast<double>(config_.inversion_steps) <= range.last - range.first + 1, "objective.inversion_steps is ",
                    config_.inversion_steps, ", and the model has ", range.last - range.first + 1, " timesteps: set it lower");
}

void Objective::invert(Noised& it, const Noising& noising, const Batch& batch, Policy& policy) const {
  const torch::NoGradGuard no_grad;
  const Condition condition = policy.condition(batch, Prompts::own).repeat(batch.views);
  const TimestepRange range = process_.range();
  const auto first = static_cast<int64_t>(range.first), last = static_cast<int64_t>(range.last);
  const int64_t stride = (last - first + 1) / config_.inversion_steps, end = it.t.max().item<int64_t>();
  const Tensor& given = noising.inversion_noise;
  check<UsageError>(!given.defined() || given.size(1) == config_.inversion_steps, "inversion_noise has ",
                    given.defined() ? given.size(1) : 0, " nodes, expected objective.inversion_steps = ", config_.inversion_steps);
  const auto random = [&](int64_t i) {
    return given.defined() ? at::cat(std::vector<Tensor>(static_cast<size_t>(batch.views), given.select(1, i))) : it.noise;
  };
  const auto at_node = [&](int64_t node) { return at::full_like(it.t, node); };
  Tensor x = it.x0;
  for (int64_t i = 0; i < config_.inversion_steps && first + i * stride < end; ++i) {
    const int64_t node = first + i * stride;
    const Tensor here = at_node(node), next = at_node(std::min(node + stride, last));
    // As diffusers' DDIMInverseScheduler: what lies one node below is shown as this node's. The first step starts at the clean picture.
    const Tensor predicted = policy.network.predict(x, here, condition).to(torch::kFloat32);
    const Tensor clean = i == 0 ? x : process_.to_x0(predicted, x, at_node(node - stride));
    const Tensor noise = i == 0 ? predicted : process_.to_epsilon(predicted, x, at_node(node - stride));
    const Tensor std = config_.inversion_eta * per_sample(posterior_std(process_, next, here), x);
    const Tensor there = process_.add_noise(clean, noise, here) + std * random(i);
    x = at::where(per_sample(it.t.gt(node), x), there, x);  // each picture goes up to its own t
  }
  it.x_t = x;
  it.noise = (x - per_sample(process_.alpha(it.t), x) * it.x0) / per_sample(process_.sigma(it.t), x);
  it.target = process_.target(it.x0, it.noise, it.t);
}

}  // namespace palate
