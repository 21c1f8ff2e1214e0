#include "palate/diffusion/discrete_sampler.h"

#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"

namespace palate {

DiscreteSampler::DiscreteSampler(const Json& json, const BetaDefaults& betas) {
  const SchedulerConfig config(json);
  config.refuse("thresholding");
  const Tensor products = (1 - config.betas(betas)).cumprod(0).contiguous();
  alphas_cumprod_.assign(products.data_ptr<float>(), products.data_ptr<float>() + products.numel());
  prediction_ = config.prediction();
  spacing_ = read_spacing(config, "leading");
  if (config.flag("clip_sample", true)) clip_ = config.number("clip_sample_range", 1.0);
}

void DiscreteSampler::set_timesteps(int64_t count) {
  std::vector<int64_t> steps;
  for (const double t : spaced_timesteps(spacing_, count)) steps.push_back(std::llrint(t));  // half to even, as numpy
  count_ = count;
  use_timesteps(std::move(steps));
}

void DiscreteSampler::use_timesteps(std::vector<int64_t> steps) {
  steps_ = std::move(steps);
  timesteps_ = torch::tensor(steps_, torch::kInt64);
}

Tensor DiscreteSampler::add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const {
  const float product = alpha_cumprod(timestep(index));
  return std::sqrt(product) * clean.to(torch::kFloat32) + std::sqrt(1 - product) * noise.to(clean.device(), torch::kFloat32);
}

int64_t DiscreteSampler::timestep(int64_t index) const {
  check(index >= 0 && index < static_cast<int64_t>(steps_.size()), "sampler: step ", index, " of ", steps_.size(),
        ": set_timesteps comes first");
  return steps_[static_cast<size_t>(index)];
}

}  // namespace palate
