#include <torch/types.h>

#include <cmath>

#include "palate/diffusion/exploding_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

class Euler final : public ExplodingSampler {
 public:
  explicit Euler(const Json& json) : ExplodingSampler(json, "euler") {
    const SchedulerConfig config(json);
    log_linear_ = config.choice("interpolation_type", "linear", {"linear", "log_linear"}) == "log_linear";
    ends_at_zero_ = config.choice("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "zero";
    const bool continuous = config.choice("timestep_type", "discrete", {"discrete", "continuous"}) == "continuous";
    log_timesteps_ = continuous && prediction_ == Prediction::v;
  }

  void set_timesteps(int64_t count) override {
    std::vector<double> steps = float_timesteps(count), levels;
    if (log_linear_) {
      const auto& logs = table_.log_levels();
      const Tensor line = torch::linspace(logs.back(), logs.front(), count + 1, torch::kFloat32).exp();
      for (int64_t i = 0; i <= count; ++i) levels.push_back(line[i].item<float>());
    } else {
      for (const double t : steps) levels.push_back(table_.level_at(t));
    }
    if (table_.respaced()) {
      levels = table_.respace(levels.front(), levels.back(), count);
      steps = table_.timesteps_of(levels);
    }
    levels.push_back(ends_at_zero_ ? 0 : table_.levels().front());
    if (log_timesteps_) {
      steps.clear();
      for (size_t i = 0; i + 1 < levels.size(); ++i) steps.push_back(0.25f * std::log(static_cast<float>(levels[i])));
    }
    use(steps, levels);
  }

  bool stochastic() const override { return false; }

  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x_t, const Tensor&) override {
    const float level = sigma(index), next = sigma(index + 1);
    const Tensor x = x_t.to(torch::kFloat32);
    const Tensor slope = (x - denoised(predicted.to(torch::kFloat32), x, level)) / level;
    return x + slope * (next - level);
  }

 private:
  bool log_linear_, ends_at_zero_, log_timesteps_;
};

}  // namespace

std::unique_ptr<Sampler> make_euler(const Json& config) { return std::make_unique<Euler>(config); }

}  // namespace palate
