// The forward process and the algebra between parameterisations (docs/objectives.md, section 0).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace palate {

enum class Prediction { epsilon, v, sample };
const char* prediction_name(Prediction prediction);  // "epsilon", "v_prediction", "sample": diffusers' words

class NoiseSchedule {
 public:
  // From a scheduler_config.json; missing keys take the DDPM class defaults of diffusers, unknown keys are ignored.
  explicit NoiseSchedule(const Json& scheduler_config);

  int64_t steps() const;  // T, usually 1000
  Prediction prediction() const;
  const Tensor& alphas_cumprod() const;  // [T] float32 on the CPU

  // x0 and noise [B, C, H, W], t [B] int64. All in float32.
  Tensor add_noise(const Tensor& x0, const Tensor& noise, const Tensor& t) const;  // x_t
  Tensor target(const Tensor& x0, const Tensor& noise, const Tensor& t) const;     // what the network should predict
  Tensor to_x0(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const;
  Tensor to_epsilon(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const;

 private:
  Tensor alphas_cumprod_;
  Prediction prediction_;
};

// betas [T] float32 as diffusers computes them: linear, scaled_linear, squaredcos_cap_v2; zero-SNR rescale as an option.
Tensor make_betas(const std::string& schedule, double beta_start, double beta_end, int64_t steps);
Tensor rescale_zero_terminal_snr(const Tensor& betas);

}  // namespace palate
