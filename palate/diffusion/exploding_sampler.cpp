#include "palate/diffusion/exploding_sampler.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"

namespace palate {

ExplodingSampler::ExplodingSampler(const Json& json, const char* name, const BetaDefaults& betas)
    : name_(name), table_(SchedulerConfig(json), betas) {
  const SchedulerConfig config(json);
  spacing_ = read_spacing(config, "linspace");
  prediction_ = config.prediction();
}

double ExplodingSampler::init_noise_sigma() const {
  check(!sigmas_.empty(), name_, ": set_timesteps comes first");
  const float largest = *std::max_element(sigmas_.begin(), sigmas_.end());
  return spacing_.name == "leading" ? std::sqrt(largest * largest + 1) : largest;
}

Tensor ExplodingSampler::scale_model_input(const Tensor& x, int64_t index) const {
  const float level = sigma(index);
  return x / std::sqrt(level * level + 1);
}

Tensor ExplodingSampler::add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const {
  return clean.to(torch::kFloat32) + noise.to(clean.device(), torch::kFloat32) * sigma(index);
}

float ExplodingSampler::sigma(int64_t index) const {
  check(index >= 0 && index < static_cast<int64_t>(sigmas_.size()), name_, ": noise level ", index, " of ", sigmas_.size(),
        ": set_timesteps comes first");
  return sigmas_[static_cast<size_t>(index)];
}

Tensor ExplodingSampler::denoised(const Tensor& output, const Tensor& x, float sigma) const {
  if (prediction_ == Prediction::sample) return output;
  if (prediction_ == Prediction::epsilon) return x - sigma * output;
  const float variance = sigma * sigma + 1;
  return output * (-sigma / std::sqrt(variance)) + x / variance;
}

std::vector<double> ExplodingSampler::float_timesteps(int64_t count) const {
  std::vector<double> steps = spaced_timesteps(spacing_, count);
  for (double& t : steps) t = static_cast<float>(t);
  return steps;
}

void ExplodingSampler::use(const std::vector<double>& timesteps, const std::vector<double>& sigmas) {
  sigmas_.assign(sigmas.begin(), sigmas.end());
  timesteps_ = torch::tensor(std::vector<float>(timesteps.begin(), timesteps.end()), torch::kFloat32);
}

}  // namespace palate
