// Error-space axis: where a prediction is compared with its target.
#pragma once

#include <filesystem>

#include "palate/diffusion/noise_process.h"
#include "palate/models/registry.h"
#include "palate/objective/statistics.h"

namespace palate {

// What a space may be made of.
struct SpaceSetup {
  const NoiseProcess& process;
  Denoiser* network = nullptr;   // the policy's: with its adapters off it is the frozen network
  std::filesystem::path frozen;  // folder of the frozen network where the policy is trained whole
  LoadOptions load = {};
  bool gradient_checkpointing = false;  // of networks that the space runs for the policy
};

class ErrorSpace {
 public:
  virtual ~ErrorSpace() = default;
  // A prediction [views * B, C, (F,) h, w], as the network gave it, to what is compared: any shape with one row a sample, float32.
  // Gradients reach the prediction. The error is the mean square of embed(prediction) - embed(target), taken outside, so that policy,
  // reference and target are embedded once each. `condition` is the frozen network's.
  virtual Tensor embed(const Noised& noised, const Condition& condition, const Tensor& prediction) const = 0;
  virtual bool needs_step_noise() const { return false; }  // Noised::step_noise, where there is no Noised::features_t
  virtual bool needs_features_t() const { return false; }  // Noised::features_t
  // The timesteps that have an error here which says something; no others are drawn.
  virtual TimestepRange range(const NoiseProcess& process) const { return process.range(); }
};

// The timesteps at which a prediction tells x0 and the noise both: all but those where it predicts noise and no signal is left (zero
// terminal SNR).
TimestepRange invertible(const NoiseProcess& process);

}  // namespace palate
