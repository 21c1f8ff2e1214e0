#include "palate/diffusion/sigma_table.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"

namespace palate {

SigmaTable::SigmaTable(const SchedulerConfig& config, const BetaDefaults& betas) {
  config.refuse("use_beta_sigmas");
  karras_ = config.flag("use_karras_sigmas", false);
  exponential_ = config.flag("use_exponential_sigmas", false);
  check<UsageError>(!(karras_ && exponential_),
                    "scheduler_config.json: only one of use_karras_sigmas and use_exponential_sigmas can be true");
  sigma_min_ = config.number("sigma_min", -1);
  sigma_max_ = config.number("sigma_max", -1);
  Tensor products = (1 - config.betas(betas)).cumprod(0);
  // With zero terminal SNR the last noise level would be infinite: float16's smallest number stands in, as in the reference.
  if (betas.rescales && config.flag("rescale_betas_zero_snr", false)) products[-1] = std::ldexp(1.0, -24);
  const Tensor levels = ((1 - products) / products).sqrt().contiguous();
  levels_.assign(levels.data_ptr<float>(), levels.data_ptr<float>() + levels.numel());
  for (const float level : levels_) log_levels_.push_back(std::log(level));
}

double SigmaTable::level_at(double t) const {
  if (t >= static_cast<double>(levels_.size() - 1)) return levels_.back();
  const auto low = static_cast<size_t>(std::max(t, 0.0));
  const double slope = static_cast<double>(levels_[low + 1]) - levels_[low];
  return slope * (t - static_cast<double>(low)) + levels_[low];
}

double SigmaTable::timestep_of(double level) const {
  const double log_level = std::log(std::max(level, 1e-10));
  size_t low = 0;
  for (size_t i = 0; i < log_levels_.size(); ++i) {
    if (log_level - log_levels_[i] >= 0) low = i;
  }
  low = std::min(low, log_levels_.size() - 2);
  const double share = std::clamp((log_levels_[low] - log_level) / (log_levels_[low] - log_levels_[low + 1]), 0.0, 1.0);
  return (1 - share) * static_cast<double>(low) + share * static_cast<double>(low + 1);
}

std::vector<double> SigmaTable::timesteps_of(const std::vector<double>& levels) const {
  std::vector<double> steps;
  for (const double level : levels) steps.push_back(timestep_of(level));
  return steps;
}

std::vector<double> SigmaTable::even_logarithms(int64_t count) const {
  const double most = log_levels_.back(), least = log_levels_.front();
  std::vector<double> made;
  for (const double share : linspace(0, 1, count)) made.push_back(std::exp(most + share * (least - most)));
  return made;
}

std::vector<double> SigmaTable::respace(double largest, double smallest, int64_t count) const {
  const double most = sigma_max_ >= 0 ? sigma_max_ : largest, least = sigma_min_ >= 0 ? sigma_min_ : smallest;
  std::vector<double> made;
  if (karras_) {  // Karras et al., 2022, equation 5
    const double rho = 7, from = std::pow(most, 1 / rho), to = std::pow(least, 1 / rho);
    for (const double share : linspace(0, 1, count)) made.push_back(std::pow(from + share * (to - from), rho));
  } else {
    made = linspace(std::log(most), std::log(least), count);
    for (double& level : made) level = std::exp(level);
  }
  return made;
}

}  // namespace palate
