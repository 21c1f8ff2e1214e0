#include "palate/diffusion/schedule.h"

#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "palate/core/error.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {
namespace {

// a = sqrt(alphas_cumprod[t]) and s = sqrt(1 - alphas_cumprod[t]), [B, 1, ...] to go with x.
struct Levels {
  Tensor a, s;
};
Levels levels(const Tensor& alphas_cumprod, const Tensor& t, const Tensor& x) {
  check(t.dim() == 1 && t.size(0) == x.size(0), "noise schedule: expected one timestep a sample, found t ", show_shape(t.sizes()),
        " for x ", show_shape(x.sizes()));
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  const Tensor product = alphas_cumprod.to(x.device()).index_select(0, t.to(x.device(), torch::kInt64)).view(shape);
  return {product.sqrt(), (1 - product).sqrt()};
}

}  // namespace

const char* prediction_name(Prediction prediction) {
  switch (prediction) {
    case Prediction::epsilon:
      return "epsilon";
    case Prediction::v:
      return "v_prediction";
    case Prediction::sample:
      return "sample";
  }
  return "";
}

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

NoiseSchedule::NoiseSchedule(const Json& scheduler_config) {
  const SchedulerConfig config(scheduler_config);
  alphas_cumprod_ = (1 - config.betas()).cumprod(0);
  prediction_ = config.prediction();
}

int64_t NoiseSchedule::steps() const { return alphas_cumprod_.size(0); }
Prediction NoiseSchedule::prediction() const { return prediction_; }
const Tensor& NoiseSchedule::alphas_cumprod() const { return alphas_cumprod_; }

Tensor NoiseSchedule::add_noise(const Tensor& x0, const Tensor& noise, const Tensor& t) const {
  const auto [a, s] = levels(alphas_cumprod_, t, x0);
  return a * x0.to(torch::kFloat32) + s * noise.to(torch::kFloat32);
}

Tensor NoiseSchedule::target(const Tensor& x0, const Tensor& noise, const Tensor& t) const {
  if (prediction_ == Prediction::epsilon) return noise.to(torch::kFloat32);
  if (prediction_ == Prediction::sample) return x0.to(torch::kFloat32);
  const auto [a, s] = levels(alphas_cumprod_, t, x0);
  return a * noise.to(torch::kFloat32) - s * x0.to(torch::kFloat32);
}

Tensor NoiseSchedule::to_x0(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const {
  const Tensor p = predicted.to(torch::kFloat32), x = x_t.to(torch::kFloat32);
  if (prediction_ == Prediction::sample) return p;
  const auto [a, s] = levels(alphas_cumprod_, t, x);
  return prediction_ == Prediction::epsilon ? (x - s * p) / a : a * x - s * p;
}

Tensor NoiseSchedule::to_epsilon(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const {
  const Tensor p = predicted.to(torch::kFloat32), x = x_t.to(torch::kFloat32);
  if (prediction_ == Prediction::epsilon) return p;
  const auto [a, s] = levels(alphas_cumprod_, t, x);
  return prediction_ == Prediction::sample ? (x - a * p) / s : a * p + s * x;
}

}  // namespace palate
