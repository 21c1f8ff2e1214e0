#include <torch/types.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/diffusion/discrete_sampler.h"
#include "palate/diffusion/markov_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

// The steps are taken from the original_inference_steps that the consistency model was distilled on; timestep_spacing has
// no say. Each step goes to x0 and noises it again.
class Lcm final : public MarkovSampler<DiscreteSampler> {
 public:
  explicit Lcm(const Json& json) : MarkovSampler(json, {"scaled_linear", 0.00085, 0.012}) {
    const SchedulerConfig config(json);
    clip_ = config.flag("clip_sample", false) ? config.number("clip_sample_range", 1.0) : 0;
    scaling_ = static_cast<float>(config.number("timestep_scaling", 10));
    original_ = config.whole("original_inference_steps", 50);
    check<UsageError>(original_ >= 1 && original_ <= spacing_.total, "scheduler_config.json: original_inference_steps should be from 1 to ",
                      spacing_.total, ", found ", original_);
  }

  void set_timesteps(int64_t count) override {
    check<UsageError>(count >= 1 && count <= original_, "lcm: the number of steps should be from 1 to original_inference_steps, ",
                      original_, ", found ", count);
    const int64_t ratio = spacing_.total / original_;
    const double stride = static_cast<double>(original_) / static_cast<double>(count);
    std::vector<int64_t> steps;
    for (int64_t i = 0; i < count; ++i)
      steps.push_back((original_ - static_cast<int64_t>(std::floor(static_cast<double>(i) * stride))) * ratio - 1);
    count_ = count;
    use_timesteps(std::move(steps));
  }

  bool stochastic() const override { return true; }

 private:
  MarkovStep markov_step(const Tensor& predicted, int64_t index, const Tensor& x_t) const override {
    const int64_t t = timestep(index);
    const float product = alpha_cumprod(t), scaled = static_cast<float>(t) * scaling_, data = 0.25f;  // data: variance of x0
    const Tensor x = x_t.to(torch::kFloat32);
    Tensor x0 = predicted.to(torch::kFloat32);
    if (prediction_ != Prediction::sample) x0 = estimate(prediction_, x0, x, std::sqrt(product), std::sqrt(1 - product)).x0;
    if (clip_ > 0) x0 = x0.clamp(-clip_, clip_);
    const float skip = data / (scaled * scaled + data), out = scaled / std::sqrt(scaled * scaled + data);
    const Tensor clean = out * x0 + skip * x;
    if (index == count_ - 1) return {clean};
    const float before = alpha_cumprod(timestep(index + 1));
    return {std::sqrt(before) * clean, std::sqrt(1 - before)};
  }

  float scaling_;
  int64_t original_;
};

}  // namespace

std::unique_ptr<Sampler> make_lcm(const Json& config) { return std::make_unique<Lcm>(config); }

}  // namespace palate
