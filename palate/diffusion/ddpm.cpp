#include <torch/types.h>

#include <cmath>

#include "palate/diffusion/discrete_sampler.h"
#include "palate/diffusion/markov_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

class Ddpm final : public MarkovSampler<DiscreteSampler> {
 public:
  explicit Ddpm(const Json& json)
      : MarkovSampler(json),
        variance_(SchedulerConfig(json).choice("variance_type", "fixed_small", {"fixed_small", "fixed_small_log", "fixed_large"})) {}

  bool stochastic() const override { return true; }

 private:
  // Equations 6 and 7 of the paper, in the float32 arithmetic of the reference.
  MarkovStep markov_step(const Tensor& predicted, int64_t index, const Tensor& x_t) const override {
    const int64_t t = timestep(index);
    const bool last = index + 1 == static_cast<int64_t>(steps_.size());
    const float product = alpha_cumprod(t), before = last ? 1.0f : alpha_cumprod(timestep(index + 1));
    const float alpha = product / before, beta = 1 - alpha;
    const Tensor x = x_t.to(torch::kFloat32);
    Tensor x0 = estimate(prediction_, predicted.to(torch::kFloat32), x, std::sqrt(product), std::sqrt(1 - product)).x0;
    if (clip_ > 0) x0 = x0.clamp(-clip_, clip_);
    const float x0_weight = std::sqrt(before) * beta / (1 - product);
    const float x_weight = std::sqrt(alpha) * (1 - before) / (1 - product);
    return {x0_weight * x0 + x_weight * x, t == 0 ? 0 : deviation(product, before, beta)};
  }

  float deviation(float product, float before, float beta) const {
    if (variance_ == "fixed_large") return std::sqrt(beta);
    const float variance = std::max((1 - before) / (1 - product) * beta, 1e-20f);
    return variance_ == "fixed_small" ? std::sqrt(variance) : std::exp(0.5f * std::log(variance));
  }

  std::string variance_;
};

}  // namespace

std::unique_ptr<Sampler> make_ddpm(const Json& config) { return std::make_unique<Ddpm>(config); }

}  // namespace palate
