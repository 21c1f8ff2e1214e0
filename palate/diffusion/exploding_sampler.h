// What the samplers over the variance-exploding view (Euler, Euler ancestral, Heun) share: x = clean + sigma * noise, float
// timesteps, an input that is scaled to unit variance.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/scheduler_config.h"
#include "palate/diffusion/sigma_table.h"

namespace palate {

class ExplodingSampler : public Sampler {
 public:
  ExplodingSampler(const Json& json, const char* name, const BetaDefaults& betas = {});
  const Tensor& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override;
  Tensor scale_model_input(const Tensor& x, int64_t index) const override;
  Tensor add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const override;

 protected:
  float sigma(int64_t index) const;                                           // checked; one more than there are timesteps
  Tensor denoised(const Tensor& output, const Tensor& x, float sigma) const;  // x0
  std::vector<double> float_timesteps(int64_t count) const;                   // by timestep_spacing, rounded to float32
  void use(const std::vector<double>& timesteps, const std::vector<double>& sigmas);

  const char* name_;
  SigmaTable table_;
  Spacing spacing_;
  Prediction prediction_;

 private:
  std::vector<float> sigmas_;
  Tensor timesteps_;
};

}  // namespace palate
