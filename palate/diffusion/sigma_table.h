// Noise levels sigma = sqrt((1 - alphas_cumprod) / alphas_cumprod) of a discrete schedule, and the ways to space them.
// The table is float32, and what lies between is computed in double: as numpy does in diffusers.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/diffusion/scheduler_config.h"

namespace palate {

class SigmaTable {
 public:
  // UsageError for use_beta_sigmas, and when more than one of use_karras_sigmas and use_exponential_sigmas is true.
  explicit SigmaTable(const SchedulerConfig& config, const BetaDefaults& betas = {});

  const std::vector<float>& levels() const { return levels_; }          // [T], by timestep
  const std::vector<float>& log_levels() const { return log_levels_; }  // [T]
  double level_at(double t) const;                                      // numpy.interp over 0 .. T-1
  double timestep_of(double level) const;                               // between whole ones by the logarithm
  std::vector<double> timesteps_of(const std::vector<double>& levels) const;

  bool respaced() const { return karras_ || exponential_; }
  // `count` levels with even steps of the logarithm, over the whole schedule: use_lu_lambdas.
  std::vector<double> even_logarithms(int64_t count) const;
  // `count` levels by use_karras_sigmas or use_exponential_sigmas, from `largest` to `smallest` unless the config has
  // sigma_max and sigma_min.
  std::vector<double> respace(double largest, double smallest, int64_t count) const;

 private:
  std::vector<float> levels_, log_levels_;
  bool karras_, exponential_;
  double sigma_min_, sigma_max_;  // negative: not given
};

}  // namespace palate
