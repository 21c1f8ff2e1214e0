#include "palate/diffusion/multistep_sampler.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"

namespace palate {

MultistepSampler::MultistepSampler(const Json& json, const char* name, int64_t most_order) : name_(name), table_(SchedulerConfig(json)) {
  const SchedulerConfig config(json);
  for (const char* key : {"thresholding", "use_flow_sigmas", "use_dynamic_shifting"}) config.refuse(key);
  spacing_ = read_spacing(config, "linspace");
  prediction_ = config.prediction();
  ends_at_zero_ = config.choice("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "zero";
  lower_order_final_ = config.flag("lower_order_final", true);
  order_ = config.whole("solver_order", 2);
  check<UsageError>(order_ >= 1 && order_ <= most_order, "scheduler_config.json: solver_order should be from 1 to ", most_order, ", found ",
                    order_);
}

Tensor MultistepSampler::add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const {
  const Level at = level(index);
  return at.alpha * clean.to(torch::kFloat32) + at.sigma * noise.to(clean.device(), torch::kFloat32);
}

MultistepSampler::Level MultistepSampler::level(int64_t index) const {
  check(index >= 0 && index < static_cast<int64_t>(sigmas_.size()), name_, ": noise level ", index, " of ", sigmas_.size(),
        ": set_timesteps comes first");
  const Tensor told = torch::tensor(sigmas_[static_cast<size_t>(index)]), alpha = 1 / (told * told + 1).sqrt(), sigma = told * alpha;
  return {alpha, sigma, alpha.log() - sigma.log()};
}

int64_t MultistepSampler::begin_step(int64_t index) {
  check(index >= 0 && index < count(), name_, ": step ", index, " of ", std::max<int64_t>(count(), 0), ": set_timesteps comes first");
  return steps_.next(name_, index);
}

std::vector<double> MultistepSampler::whole_timesteps(int64_t last, int64_t count) const {
  const int64_t most = spacing_.name == "leading" ? last - 1 : last;
  check<UsageError>(count >= 1 && count <= most, "sampler: the number of steps should be from 1 to ", most, ", found ", count);
  std::vector<double> steps;
  if (spacing_.name == "linspace") {
    for (const double t : linspace(0, static_cast<double>(last - 1), count + 1)) steps.push_back(std::nearbyint(t));
    std::reverse(steps.begin(), steps.end());
    steps.pop_back();
  } else if (spacing_.name == "leading") {
    const int64_t ratio = last / (count + 1);
    for (int64_t i = count; i >= 1; --i) steps.push_back(static_cast<double>(i * ratio + spacing_.offset));
  } else {
    steps = trailing_timesteps(last, spacing_.total, count);
  }
  check_inside(spacing_, count, steps);
  return steps;
}

void MultistepSampler::use(const std::vector<double>& timesteps, const std::vector<double>& sigmas) {
  sigmas_.assign(sigmas.begin(), sigmas.end());
  timesteps_ = torch::tensor(std::vector<int64_t>(timesteps.begin(), timesteps.end()), torch::kInt64);
  steps_.reset();
  history_.clear();
}

Tensor MultistepSampler::to_x0(const Tensor& predicted, const Tensor& x, int64_t index) const {
  if (prediction_ == Prediction::sample) return predicted;
  const Level at = level(index);
  return prediction_ == Prediction::epsilon ? (x - at.sigma * predicted) / at.alpha : at.alpha * x - at.sigma * predicted;
}

Tensor MultistepSampler::to_epsilon(const Tensor& predicted, const Tensor& x, int64_t index) const {
  if (prediction_ == Prediction::epsilon) return predicted;
  const Level at = level(index);
  return prediction_ == Prediction::sample ? (x - at.alpha * predicted) / at.sigma : at.alpha * predicted + at.sigma * x;
}

}  // namespace palate
