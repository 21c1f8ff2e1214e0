// Steps of DDIM's chain as draws with a density, for rows that stand at timesteps of their own: what policies are trained on that
// sample their own pictures (docs/objectives.md, section 5).
#pragma once

#include <cstdint>
#include <vector>

#include "palate/diffusion/noise_process.h"
#include "palate/diffusion/sampler.h"

namespace palate {

class GaussianStep {
 public:
  // The process outlives this. `scheduler_config` is its scheduler_config.json: spacing of timesteps, and whether the last step ends at
  // clean pixels (set_alpha_to_one). guidance_scale: 1 or less is none; eta from 0 to 1, as in diffusers' DDIM. UsageError for a
  // rectified flow, whose steps have another density.
  GaussianStep(const NoiseProcess& process, const Json& scheduler_config, double guidance_scale, double eta);

  // Where diffusers' DDIM goes in `count` steps: timesteps, most noise first, and what each leads to; below 0 is the end.
  struct Grid {
    std::vector<int64_t> t, s;
  };
  Grid grid(int64_t count) const;
  bool guided() const { return guidance_scale_ > 1; }
  bool draws(int64_t s) const { return eta_ > 0 && (s >= 0 || !clean_end_); }  // false: a step to s adds no noise

  // The network's prediction at x_t [B, C, ...], t [B], with guidance: both branches in one call. float32, with gradients.
  Tensor predict(Denoiser& network, const Tensor& x_t, const Tensor& t, const Condition& positive, const Condition& negative) const;
  // What x_s is drawn from, s [B]: mean [B, C, ...] and std [B, 1, ...] (0 where the step adds no noise), equal to diffusers' DDIM.
  Transition transition(const Tensor& predicted, const Tensor& x_t, const Tensor& t, const Tensor& s) const;
  const NoiseProcess& process() const { return process_; }

 private:
  const NoiseProcess& process_;
  Json scheduler_config_;
  double guidance_scale_, eta_;
  bool clean_end_;
};

}  // namespace palate
