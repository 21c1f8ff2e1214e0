// What the multistep solvers of the diffusion ODE (DPM-Solver, UniPC) share: a variance-preserving x = alpha * clean +
// sigma * noise that is told by its noise level, whole timesteps, and the converted predictions of the last steps.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/scheduler_config.h"
#include "palate/diffusion/sigma_table.h"
#include "palate/diffusion/step_order.h"

namespace palate {

class MultistepSampler : public Sampler {
 public:
  MultistepSampler(const Json& json, const char* name, int64_t most_order);
  const Tensor& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override { return 1; }
  Tensor scale_model_input(const Tensor& x, int64_t) const override { return x; }
  Tensor add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const override;

 protected:
  // float32 scalars, as tensors: the solvers subtract exponentials that are nearly equal, and with torch's own functions
  // they lose the same digits as the reference.
  struct Level {
    Tensor alpha, sigma, lambda;  // lambda = log(alpha / sigma)
  };
  Level level(int64_t index) const;
  int64_t begin_step(int64_t index);  // checks the order; how many steps came before since set_timesteps
  int64_t count() const { return static_cast<int64_t>(sigmas_.size()) - 1; }  // -1 before set_timesteps

  // Whole timesteps below `last` by timestep_spacing: as both classes have it, without the one at the clean end.
  std::vector<double> whole_timesteps(int64_t last, int64_t count) const;
  // `sigmas` has one more than `timesteps`, whose fractions are cut off. Forgets the steps before.
  void use(const std::vector<double>& timesteps, const std::vector<double>& sigmas);

  Tensor to_x0(const Tensor& predicted, const Tensor& x, int64_t index) const;
  Tensor to_epsilon(const Tensor& predicted, const Tensor& x, int64_t index) const;

  const char* name_;
  SigmaTable table_;
  Spacing spacing_;
  Prediction prediction_;
  int64_t order_;  // solver_order
  bool ends_at_zero_, lower_order_final_;
  std::deque<Tensor> history_;  // converted predictions, the newest first, at most order_

 private:
  StepOrder steps_;
  std::vector<float> sigmas_;
  Tensor timesteps_;
};

}  // namespace palate
