// What the variance-preserving samplers (DDPM, DDIM, PNDM, LCM) share: whole timesteps, unit starting noise, an input as it is.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {

class DiscreteSampler : public Sampler {
 public:
  explicit DiscreteSampler(const Json& json, const BetaDefaults& betas = {});
  void set_timesteps(int64_t count) override;
  const Tensor& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override { return 1; }
  Tensor scale_model_input(const Tensor& x, int64_t) const override { return x; }
  Tensor add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const override;

 protected:
  void use_timesteps(std::vector<int64_t> steps);
  int64_t timestep(int64_t index) const;  // checked
  float alpha_cumprod(int64_t t) const { return alphas_cumprod_[static_cast<size_t>(t)]; }

  std::vector<float> alphas_cumprod_;  // [T]
  std::vector<int64_t> steps_;         // as timesteps_
  Prediction prediction_;
  Spacing spacing_;
  int64_t count_ = 0;  // what set_timesteps was asked for
  double clip_ = 0;    // bound on |x0|; 0: off

 private:
  Tensor timesteps_;
};

}  // namespace palate
