// Straight lines from pictures to noise: x_t = (1 - s) x0 + s noise with s = t / T, and networks that predict noise - x0 (SD3, Wan).
#pragma once

#include "palate/diffusion/noise_process.h"

namespace palate {

class RectifiedFlow final : public NoiseProcess {
 public:
  // From a scheduler_config.json: num_train_timesteps, and `shift` (or, of schedulers with use_flow_sigmas, `flow_shift`). With
  // use_dynamic_shifting, which shifts by the size of the picture in generation, training is not shifted: as in diffusers.
  explicit RectifiedFlow(const Json& scheduler_config);

  double shift() const { return shift_; }
  Tensor alpha(const Tensor& t) const override;
  Tensor sigma(const Tensor& t) const override;
  TimestepRange range() const override { return {.first = 1, .last = total_, .whole = false}; }
  // s -> shift s / (1 + (shift - 1) s) with s = drawn / T. The whole numbers 1 .. T give the timesteps of diffusers'
  // FlowMatchEulerDiscreteScheduler, to the bit.
  Tensor timesteps(const std::vector<double>& drawn) const override;

 private:
  double total_, shift_;  // T
};

}  // namespace palate
