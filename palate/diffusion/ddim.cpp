#include <torch/types.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/diffusion/discrete_sampler.h"
#include "palate/diffusion/markov_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

class Ddim final : public MarkovSampler<DiscreteSampler> {
 public:
  explicit Ddim(const Json& json) : MarkovSampler(json) {
    const SchedulerConfig config(json);
    eta_ = static_cast<float>(config.number("eta", 0));
    check<UsageError>(eta_ >= 0 && eta_ <= 1, "ddim: eta should be from 0 to 1, found ", eta_);
    final_ = config.flag("set_alpha_to_one", true) ? 1.0f : alpha_cumprod(0);
  }

  bool stochastic() const override { return eta_ > 0; }

 private:
  // Equations 12 and 16 of the paper. The step before t is t - T / count whatever the spacing, as in the reference.
  MarkovStep markov_step(const Tensor& predicted, int64_t index, const Tensor& x_t) const override {
    const int64_t t = timestep(index), previous = t - spacing_.total / count_;
    const float product = alpha_cumprod(t), before = previous >= 0 ? alpha_cumprod(previous) : final_;
    const Tensor x = x_t.to(torch::kFloat32);
    auto [x0, epsilon] = estimate(prediction_, predicted.to(torch::kFloat32), x, std::sqrt(product), std::sqrt(1 - product));
    if (clip_ > 0) x0 = x0.clamp(-clip_, clip_);
    const float variance = (1 - before) / (1 - product) * (1 - product / before);
    const float deviation = eta_ > 0 ? eta_ * std::sqrt(variance) : 0.0f;
    const Tensor mean = std::sqrt(before) * x0 + std::sqrt(1 - before - deviation * deviation) * epsilon;
    return {mean, deviation};
  }

  float eta_ = 0, final_ = 1;
};

}  // namespace

std::unique_ptr<Sampler> make_ddim(const Json& config) { return std::make_unique<Ddim>(config); }

}  // namespace palate
