#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/diffusion/samplers.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {
namespace {

// Noise levels are float32 tables, and what lies between them is computed in double: as numpy does in the reference.
class Euler final : public Sampler {
 public:
  explicit Euler(const Json& json) {
    const SchedulerConfig config(json);
    config.refuse("use_beta_sigmas");
    spacing_ = read_spacing(config, "linspace");
    prediction_ = config.prediction();
    log_linear_ = config.choice("interpolation_type", "linear", {"linear", "log_linear"}) == "log_linear";
    ends_at_zero_ = config.choice("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "zero";
    const bool continuous = config.choice("timestep_type", "discrete", {"discrete", "continuous"}) == "continuous";
    log_timesteps_ = continuous && prediction_ == Prediction::v;
    karras_ = config.flag("use_karras_sigmas", false);
    exponential_ = config.flag("use_exponential_sigmas", false);
    check<UsageError>(!(karras_ && exponential_), "scheduler_config.json: only one of use_karras_sigmas and use_exponential_sigmas can be true");
    sigma_min_ = config.number("sigma_min", -1);
    sigma_max_ = config.number("sigma_max", -1);
    Tensor products = (1 - config.betas()).cumprod(0);
    // With zero terminal SNR the last noise level would be infinite: float16's smallest number stands in, as in the reference.
    if (config.flag("rescale_betas_zero_snr", false)) products[-1] = std::ldexp(1.0, -24);
    const Tensor levels = ((1 - products) / products).sqrt().contiguous();
    table_.assign(levels.data_ptr<float>(), levels.data_ptr<float>() + levels.numel());
    for (const float level : table_) log_table_.push_back(std::log(level));
  }

  void set_timesteps(int64_t count) override {
    std::vector<double> steps = spaced_timesteps(spacing_, count);
    for (double& t : steps) t = static_cast<float>(t);
    std::vector<double> levels;
    if (log_linear_) {
      const Tensor line = torch::linspace(log_table_.back(), log_table_.front(), count + 1, torch::kFloat32).exp();
      for (int64_t i = 0; i <= count; ++i) levels.push_back(line[i].item<float>());
    } else {
      for (const double t : steps) levels.push_back(level_at(t));
    }
    if (karras_ || exponential_) {
      levels = karras_ ? karras(levels, count) : exponential(levels, count);
      steps.clear();
      for (const double level : levels) steps.push_back(timestep_of(level));
    }
    levels.push_back(ends_at_zero_ ? 0 : table_.front());
    sigmas_.assign(levels.begin(), levels.end());
    std::vector<float> told(steps.begin(), steps.end());
    if (log_timesteps_) {
      told.clear();
      for (size_t i = 0; i + 1 < sigmas_.size(); ++i) told.push_back(0.25f * std::log(sigmas_[i]));
    }
    timesteps_ = torch::tensor(told, torch::kFloat32);
  }

  const Tensor& timesteps() const override { return timesteps_; }

  double init_noise_sigma() const override {
    check(!sigmas_.empty(), "euler: set_timesteps comes first");
    const float largest = *std::max_element(sigmas_.begin(), sigmas_.end());
    return spacing_.name == "leading" ? std::sqrt(largest * largest + 1) : largest;
  }

  Tensor scale_model_input(const Tensor& x, int64_t index) const override {
    const float sigma = sigmas_.at(static_cast<size_t>(index));
    return x / std::sqrt(sigma * sigma + 1);
  }

  bool stochastic() const override { return false; }

  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x_t, const Tensor&) override {
    const float sigma = sigmas_.at(static_cast<size_t>(index)), next = sigmas_.at(static_cast<size_t>(index) + 1);
    const Tensor x = x_t.to(torch::kFloat32), output = predicted.to(torch::kFloat32);
    const Tensor slope = (x - denoised(output, x, sigma)) / sigma;
    return x + slope * (next - sigma);
  }

 private:
  Tensor denoised(const Tensor& output, const Tensor& x, float sigma) const {
    if (prediction_ == Prediction::sample) return output;
    if (prediction_ == Prediction::epsilon) return x - sigma * output;
    const float variance = sigma * sigma + 1;
    return output * (-sigma / std::sqrt(variance)) + x / variance;
  }

  // numpy.interp over 0 .. T-1.
  double level_at(double t) const {
    if (t >= static_cast<double>(table_.size() - 1)) return table_.back();
    const auto low = static_cast<size_t>(std::max(t, 0.0));
    const double slope = static_cast<double>(table_[low + 1]) - table_[low];
    return slope * (t - static_cast<double>(low)) + table_[low];
  }

  // The timestep, between whole ones by the logarithm, at which the schedule has this level.
  double timestep_of(double level) const {
    const double log_level = std::log(std::max(level, 1e-10));
    size_t low = 0;
    for (size_t i = 0; i < log_table_.size(); ++i) {
      if (log_level - log_table_[i] >= 0) low = i;
    }
    low = std::min(low, log_table_.size() - 2);
    const double share = std::clamp((log_table_[low] - log_level) / (log_table_[low] - log_table_[low + 1]), 0.0, 1.0);
    return (1 - share) * static_cast<double>(low) + share * static_cast<double>(low + 1);
  }

  std::vector<double> karras(const std::vector<double>& levels, int64_t count) const {  // equation 5, rho = 7
    const double rho = 7, least = std::pow(smallest(levels), 1 / rho), most = std::pow(largest(levels), 1 / rho);
    std::vector<double> made;
    for (const double share : linspace(0, 1, count)) made.push_back(std::pow(most + share * (least - most), rho));
    return made;
  }

  std::vector<double> exponential(const std::vector<double>& levels, int64_t count) const {
    std::vector<double> made = linspace(std::log(largest(levels)), std::log(smallest(levels)), count);
    for (double& level : made) level = std::exp(level);
    return made;
  }

  double smallest(const std::vector<double>& levels) const { return sigma_min_ >= 0 ? sigma_min_ : levels.back(); }
  double largest(const std::vector<double>& levels) const { return sigma_max_ >= 0 ? sigma_max_ : levels.front(); }

  Spacing spacing_;
  Prediction prediction_;
  bool log_linear_, ends_at_zero_, log_timesteps_, karras_, exponential_;
  double sigma_min_, sigma_max_;   // negative: not given
  std::vector<float> table_, log_table_;  // of the schedule, by timestep
  std::vector<float> sigmas_;      // of the steps, and one more
  Tensor timesteps_;
};

}  // namespace

std::unique_ptr<Sampler> make_euler(const Json& config) { return std::make_unique<Euler>(config); }

}  // namespace palate
