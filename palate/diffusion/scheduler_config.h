// The keys of a scheduler_config.json that the schedules and samplers share. A missing key or null takes the default of
// the diffusers class that is asked for; unknown keys are ignored; a wrong type or word is a FormatError.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/diffusion/schedule.h"
#include "palate/io/json.h"

namespace palate {

// What a class takes for keys that the config leaves out.
struct BetaDefaults {
  const char* schedule = "linear";
  double start = 0.0001, end = 0.02;
  bool rescales = true;  // whether the class knows rescale_betas_zero_snr; one that does not ignores it
};

class SchedulerConfig {
 public:
  explicit SchedulerConfig(const Json& json);  // keeps a reference: `json` must outlive it

  double number(const char* key, double otherwise) const;
  int64_t whole(const char* key, int64_t otherwise) const;
  bool flag(const char* key, bool otherwise) const;
  std::string text(const char* key, const std::string& otherwise) const;
  std::string choice(const char* key, const std::string& otherwise, const std::vector<std::string>& words) const;
  bool has(const char* key) const;  // there and not null

  int64_t steps() const;  // num_train_timesteps, or the number of trained_betas
  Prediction prediction() const;
  Tensor betas(const BetaDefaults& otherwise = {}) const;  // [T] float32, after rescale_betas_zero_snr
  void refuse(const char* key) const;                      // UsageError when the flag is set: not supported
  void refuse_given(const char* key) const;                // UsageError when the key is there and not null
  const Json* find(const char* key) const;                 // null when missing or null

 private:
  const Json& json_;
};

// diffusers' three spacings over T training steps, from noisy to clean. UsageError when count is not in [1, T], or when
// steps_offset leads past T - 1. linspace gives fractions: Euler takes
// them, the others round.
struct Spacing {
  std::string name;  // "leading", "linspace" or "trailing"
  int64_t offset = 0;
  int64_t total = 1000;
};
std::vector<double> spaced_timesteps(const Spacing& spacing, int64_t count);
// numpy.arange(last, 0, -total / count), rounded, minus 1: at most `count`.
std::vector<double> trailing_timesteps(int64_t last, int64_t total, int64_t count);
void check_inside(const Spacing& spacing, int64_t count, const std::vector<double>& steps);  // UsageError when past the ends
Spacing read_spacing(const SchedulerConfig& config, const std::string& otherwise);

// numpy.linspace(start, stop, count), to the bit.
std::vector<double> linspace(double start, double stop, int64_t count);

// x0 and epsilon from a prediction, with signal a = sqrt(alphas_cumprod) and noise level s = sqrt(1 - alphas_cumprod).
struct Estimate {
  Tensor x0, epsilon;
};
Estimate estimate(Prediction prediction, const Tensor& predicted, const Tensor& x_t, float a, float s);

}  // namespace palate
