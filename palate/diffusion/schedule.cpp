#include "palate/diffusion/schedule.h"

#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "palate/core/error.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {

Tensor make_betas(const std::string& schedule, double beta_start, double beta_end, int64_t steps) {
  check<FormatError>(steps >= 1, "noise schedule: expected at least one step, found ", steps);
  if (schedule == "linear") return torch::linspace(beta_start, beta_end, steps, torch::kFloat32);
  if (schedule == "scaled_linear") return torch::linspace(std::sqrt(beta_start), std::sqrt(beta_end), steps, torch::kFloat32).square();
  check<UsageError>(schedule == "squaredcos_cap_v2", "noise schedule: no beta schedule is called '", schedule,
                    "': expected linear, scaled_linear or squaredcos_cap_v2");
  // Nichol and Dhariwal, 2021: alpha_bar(u) = cos((u + 0.008) / 1.008 * pi / 2)^2, beta capped at 0.999.
  const auto alpha_bar = [](double u) { return std::pow(std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2), 2); };
  std::vector<double> betas;
  const auto total = static_cast<double>(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const double now = static_cast<double>(i) / total, next = static_cast<double>(i + 1) / total;
    betas.push_back(std::min(1 - alpha_bar(next) / alpha_bar(now), 0.999));
  }
  return torch::tensor(betas, torch::kFloat64).to(torch::kFloat32);
}

Tensor rescale_zero_terminal_snr(const Tensor& betas) {
  // Lin et al., 2023 (2305.08891), algorithm 1: shift sqrt(alpha_bar) so that the last is 0, scale so that the first stays.
  const Tensor root = (1 - betas).cumprod(0).sqrt();
  const Tensor first = root[0], last = root[-1];
  const Tensor alpha_bar = ((root - last) * (first / (first - last))).square();
  const Tensor alphas = torch::cat({alpha_bar.narrow(0, 0, 1), alpha_bar.slice(0, 1) / alpha_bar.slice(0, 0, -1)});
  return 1 - alphas;
}

NoiseSchedule::NoiseSchedule(const Json& scheduler_config) : NoiseProcess(SchedulerConfig(scheduler_config).prediction()) {
  alphas_cumprod_ = (1 - SchedulerConfig(scheduler_config).betas()).cumprod(0);
}

int64_t NoiseSchedule::steps() const { return alphas_cumprod_.size(0); }
const Tensor& NoiseSchedule::alphas_cumprod() const { return alphas_cumprod_; }

Tensor NoiseSchedule::variance_kept(const Tensor& t) const {
  check(!t.is_floating_point() || t.eq(t.floor()).all().item<bool>(),
        "noise schedule: expected timesteps that are whole numbers, found fractions");
  return alphas_cumprod_.to(t.device()).index_select(0, t.to(torch::kInt64));
}

Tensor NoiseSchedule::alpha(const Tensor& t) const { return variance_kept(t).sqrt(); }
Tensor NoiseSchedule::sigma(const Tensor& t) const { return (1 - variance_kept(t)).sqrt(); }

std::pair<Tensor, Tensor> NoiseSchedule::exact_levels(const Tensor& t) const {
  const Tensor kept = variance_kept(t).to(torch::kFloat64);
  return {kept.sqrt(), (1 - kept).sqrt()};
}

TimestepRange NoiseSchedule::range() const { return {.first = 0, .last = static_cast<double>(steps() - 1), .whole = true}; }

Tensor NoiseSchedule::snr(const Tensor& t) const {
  const Tensor kept = variance_kept(t).to(torch::kFloat64);
  return kept / (1 - kept);
}

Tensor NoiseSchedule::timesteps(const std::vector<double>& drawn) const {
  std::vector<int64_t> whole;
  for (const double each : drawn) {
    whole.push_back(static_cast<int64_t>(each));
    check(each >= 0 && each < static_cast<double>(steps()) && static_cast<double>(whole.back()) == each,
          "noise schedule: expected whole timesteps from 0 to ", steps() - 1, ", found ", each);
  }
  return torch::tensor(whole, torch::kInt64);
}

}  // namespace palate
