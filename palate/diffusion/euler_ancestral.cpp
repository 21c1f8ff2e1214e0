#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/diffusion/exploding_sampler.h"
#include "palate/diffusion/markov_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

class EulerAncestral final : public MarkovSampler<ExplodingSampler> {
 public:
  explicit EulerAncestral(const Json& json) : MarkovSampler(json, "euler_a") {
    check<UsageError>(prediction_ != Prediction::sample,
                      "scheduler_config.json: EulerAncestralDiscreteScheduler takes prediction_type epsilon or v_prediction");
  }

  void set_timesteps(int64_t count) override {
    const std::vector<double> steps = float_timesteps(count);
    std::vector<double> levels;
    for (const double t : steps) levels.push_back(table_.level_at(t));
    levels.push_back(0);
    use(steps, levels);
  }

  bool stochastic() const override { return true; }

 private:
  // A step down to below the next level, and noise up to it. From a level of 4096 (zero terminal SNR) `down` is what is
  // left of numbers that are nearly equal: with torch's own square root it loses the same digits as the reference.
  MarkovStep markov_step(const Tensor& predicted, int64_t index, const Tensor& x_t) const override {
    const float from = sigma(index), to = sigma(index + 1);
    const float up = torch::tensor(to * to * (from * from - to * to) / (from * from)).sqrt().item<float>();
    const float down = torch::tensor(to * to - up * up).sqrt().item<float>();
    const Tensor x = x_t.to(torch::kFloat32);
    const Tensor slope = (x - denoised(predicted.to(torch::kFloat32), x, from)) / from;
    return {x + slope * (down - from), up};
  }
};

}  // namespace

std::unique_ptr<Sampler> make_euler_ancestral(const Json& config) { return std::make_unique<EulerAncestral>(config); }

}  // namespace palate
