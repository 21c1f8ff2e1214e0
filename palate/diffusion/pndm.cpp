#include <torch/types.h>

#include <cmath>
#include <deque>

#include "palate/core/error.h"
#include "palate/diffusion/discrete_sampler.h"
#include "palate/diffusion/samplers.h"
#include "palate/diffusion/step_order.h"

namespace palate {
namespace {

// Adams-Bashforth over the last four predictions. The first three steps are Runge-Kutta's, of four evaluations each, unless the config
// skips them: then the second evaluation repeats the second timestep to correct the first step, so `count` steps take count + 1
// evaluations. From a later start the second evaluation corrects too, although its timestep is no repetition there: as the reference does.
class Pndm final : public DiscreteSampler {
 public:
  explicit Pndm(const Json& json) : DiscreteSampler(json, {.rescales = false}) {
    const SchedulerConfig config(json);
    runge_kutta_ = !config.flag("skip_prk_steps", false);
    check<UsageError>(prediction_ != Prediction::sample, "scheduler_config.json: PNDM takes prediction_type epsilon or v_prediction");
    final_ = config.flag("set_alpha_to_one", false) ? 1.0f : alpha_cumprod(0);
  }

  void set_timesteps(int64_t count) override {
    DiscreteSampler::set_timesteps(count);
    std::vector<int64_t> steps = steps_;
    if (runge_kutta_) {
      check<UsageError>(count > runge_kutta_steps, "pndm: with Runge-Kutta steps (skip_prk_steps false) at least ", runge_kutta_steps + 1,
                        " steps are needed, found ", count);
      steps = with_runge_kutta(steps);
    } else if (count > 1) {
      steps.insert(steps.begin() + 1, steps[1]);
    }
    use_timesteps(std::move(steps));
    history_.clear();
    first_ = Tensor();
    order_.reset();
  }

  bool stochastic() const override { return false; }

  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x_t, const Tensor&) override {
    const int64_t evaluation = order_.next("pndm", index);
    const int64_t stride = spacing_.total / count_;
    int64_t t = timestep(index), previous = t - stride;
    Tensor x = x_t.to(torch::kFloat32), output = predicted.to(torch::kFloat32);
    if (runge_kutta_ && evaluation < 4 * runge_kutta_steps) return runge_kutta(evaluation, t, x, output);
    if (!runge_kutta_ && evaluation == 1) {
      previous = t;
      t += stride;
      output = (output + history_.back()) / 2;
      x = first_;
    } else {
      if (evaluation == 0) first_ = x;
      history_.push_back(output);
      if (history_.size() > 4) history_.pop_front();
      output = blend();
    }
    return transfer(x, t, previous, output);
  }

 private:
  static constexpr int64_t runge_kutta_steps = 3;

  // s0, then twice each half of a step above s1, s1, above s2, s2, above s3, and s3; from there on one evaluation a step.
  std::vector<int64_t> with_runge_kutta(const std::vector<int64_t>& s) const {
    const int64_t half = spacing_.total / count_ / 2;
    std::vector<int64_t> steps = {s[0]};
    for (size_t i = 1; i <= runge_kutta_steps; ++i) {
      for (const int64_t t : {s[i] + half, s[i] + half, s[i]}) steps.push_back(t);
      if (i < runge_kutta_steps) steps.push_back(s[i]);
    }
    steps.insert(steps.end(), s.begin() + runge_kutta_steps, s.end());
    return steps;
  }

  // One of the four evaluations of a step: all go from the step's own x.
  Tensor runge_kutta(int64_t evaluation, int64_t t, const Tensor& x, Tensor output) {
    const int64_t part = evaluation % 4, previous = t - (part % 2 ? 0 : spacing_.total / count_ / 2);
    if (part == 0) {
      history_.push_back(output);
      first_ = x;
      sum_ = output / 6;
    } else if (part < 3) {
      sum_ = sum_ + output / 3;
    } else {
      output = sum_ + output / 6;
    }
    return transfer(first_, timestep(evaluation / 4 * 4), previous, output);
  }

  Tensor blend() const {
    const auto& h = history_;
    const size_t n = h.size();
    if (n == 1) return h[0];
    if (n == 2) return (3 * h[1] - h[0]) / 2;
    if (n == 3) return (23 * h[2] - 16 * h[1] + 5 * h[0]) / 12;
    return (1.0 / 24) * (55 * h[3] - 59 * h[2] + 37 * h[1] - 9 * h[0]);
  }

  // Equation 9 of the paper.
  Tensor transfer(const Tensor& x, int64_t t, int64_t previous, const Tensor& output) const {
    check(t < spacing_.total, "pndm: the correcting step starts at timestep ", t, ", past the end: use another number of steps");
    const float product = alpha_cumprod(t), before = previous >= 0 ? alpha_cumprod(previous) : final_;
    const float a = std::sqrt(product), s = std::sqrt(1 - product);
    const Tensor epsilon = prediction_ == Prediction::v ? a * output + s * x : output;
    const float denominator = product * std::sqrt(1 - before) + std::sqrt(product * (1 - product) * before);
    return std::sqrt(before / product) * x - (before - product) * epsilon / denominator;
  }

  std::deque<Tensor> history_;
  Tensor first_, sum_;  // of a Runge-Kutta step: its x, and the weighted predictions so far
  bool runge_kutta_ = false;
  StepOrder order_;
  float final_ = 1;
};

}  // namespace

std::unique_ptr<Sampler> make_pndm(const Json& config) { return std::make_unique<Pndm>(config); }

}  // namespace palate
