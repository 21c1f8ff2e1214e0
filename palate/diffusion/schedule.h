// The forward process of a table of betas (DDPM): alpha(t)^2 = alphas_cumprod[t], sigma(t)^2 = 1 - alphas_cumprod[t] (docs/objectives.md,
// section 0.1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/diffusion/noise_process.h"

namespace palate {

class NoiseSchedule final : public NoiseProcess {
 public:
  // From a scheduler_config.json; missing keys take the DDPM class defaults of diffusers, unknown keys are ignored.
  explicit NoiseSchedule(const Json& scheduler_config);

  int64_t steps() const;                 // T, usually 1000
  const Tensor& alphas_cumprod() const;  // [T] float32 on the CPU

  // Timesteps are whole numbers from 0 to T - 1. Error for one that lies between, which the table does not have.
  Tensor alpha(const Tensor& t) const override;
  Tensor sigma(const Tensor& t) const override;
  TimestepRange range() const override;
  Tensor snr(const Tensor& t) const override;  // float64, from the table itself
  Tensor timesteps(const std::vector<double>& drawn) const override;

 protected:
  std::pair<Tensor, Tensor> exact_levels(const Tensor& t) const override;

 private:
  Tensor variance_kept(const Tensor& t) const;  // alphas_cumprod[t]

  Tensor alphas_cumprod_;
};

// betas [T] float32 as diffusers computes them: linear, scaled_linear, squaredcos_cap_v2; zero-SNR rescale as an option.
Tensor make_betas(const std::string& schedule, double beta_start, double beta_end, int64_t steps);
Tensor rescale_zero_terminal_snr(const Tensor& betas);

}  // namespace palate
