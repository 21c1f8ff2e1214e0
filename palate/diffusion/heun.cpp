#include <torch/types.h>

#include "palate/diffusion/exploding_sampler.h"
#include "palate/diffusion/samplers.h"
#include "palate/diffusion/step_order.h"

namespace palate {
namespace {

// Each step but the last takes two evaluations: an Euler step to the next level, and there the slope that the step is
// taken again with, half and half. So every timestep but the first is there twice.
class Heun final : public ExplodingSampler {
 public:
  explicit Heun(const Json& json) : ExplodingSampler(json, "heun", {.start = 0.00085, .end = 0.012, .rescales = false}) {
    const SchedulerConfig config(json);
    if (config.flag("clip_sample", false)) clip_ = config.number("clip_sample_range", 1.0);
  }

  void set_timesteps(int64_t count) override {
    std::vector<double> steps = float_timesteps(count), levels;
    for (const double t : steps) levels.push_back(table_.level_at(t));
    if (table_.respaced()) {
      levels = table_.respace(levels.front(), levels.back(), count);
      steps = table_.timesteps_of(levels);
    }
    levels = repeated(levels);
    levels.push_back(0);
    use(repeated(steps), levels);
    order_.reset();
    slope_ = Tensor();
  }

  int64_t order() const override { return 2; }
  bool stochastic() const override { return false; }

  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x_t, const Tensor&) override {
    order_.next("heun", index);
    const Tensor x = x_t.to(torch::kFloat32), output = predicted.to(torch::kFloat32);
    if (!slope_.defined()) {
      const float level = sigma(index);
      slope_ = slope(output, x, level);
      stride_ = sigma(index + 1) - level;
      start_ = x;
      return x + slope_ * stride_;
    }
    const Tensor mean = (slope_ + slope(output, x, sigma(index))) / 2;
    slope_ = Tensor();
    return start_ + mean * stride_;
  }

 private:
  static std::vector<double> repeated(const std::vector<double>& values) {  // all but the first, twice
    std::vector<double> made = {values.front()};
    for (size_t i = 1; i < values.size(); ++i) made.insert(made.end(), 2, values[i]);
    return made;
  }

  Tensor slope(const Tensor& output, const Tensor& x, float level) const {
    Tensor x0 = denoised(output, x, level);
    if (clip_ > 0) x0 = x0.clamp(-clip_, clip_);
    return (x - x0) / level;
  }

  double clip_ = 0;  // bound on |x0|; 0: off
  StepOrder order_;
  Tensor slope_, start_;  // of a step that is half done
  float stride_ = 0;
};

}  // namespace

std::unique_ptr<Sampler> make_heun(const Json& config) { return std::make_unique<Heun>(config); }

}  // namespace palate
