#include "palate/diffusion/noise_process.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/diffusion/rectified_flow.h"
#include "palate/diffusion/schedule.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {
namespace {

// alpha and sigma at t, to go with x.
struct Levels {
  Tensor a, s;
};
Levels levels(const NoiseProcess& process, const Tensor& t, const Tensor& x) {
  const Tensor here = t.to(x.device());
  return {per_sample(process.alpha(here), x), per_sample(process.sigma(here), x)};
}

Tensor precise(const Tensor& x) { return x.to(torch::kFloat64); }

}  // namespace

const char* prediction_name(Prediction prediction) {
  switch (prediction) {
    case Prediction::epsilon:
      return "epsilon";
    case Prediction::v:
      return "v_prediction";
    case Prediction::sample:
      return "sample";
    case Prediction::flow:
      return "flow_prediction";
  }
  return "";
}

Tensor per_sample(const Tensor& scalars, const Tensor& x) {
  check(scalars.dim() == 1 && x.dim() > 0 && scalars.size(0) == x.size(0), "noise process: expected one number a sample, found ",
        show_shape(scalars.sizes()), " for samples of ", show_shape(x.sizes()));
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return scalars.view(shape);
}

Tensor NoiseProcess::add_noise(const Tensor& x0, const Tensor& noise, const Tensor& t) const {
  const auto [a, s] = levels(*this, t, x0);
  return a * x0.to(torch::kFloat32) + s * noise.to(torch::kFloat32);
}

Tensor NoiseProcess::target(const Tensor& x0, const Tensor& noise, const Tensor& t) const {
  if (prediction_ == Prediction::epsilon) return noise.to(torch::kFloat32);
  if (prediction_ == Prediction::sample) return x0.to(torch::kFloat32);
  if (prediction_ == Prediction::flow) return noise.to(torch::kFloat32) - x0.to(torch::kFloat32);
  const auto [a, s] = levels(*this, t, x0);
  return a * noise.to(torch::kFloat32) - s * x0.to(torch::kFloat32);
}

// A flow is predicted of straight lines only, where alpha + sigma = 1.
Tensor NoiseProcess::to_x0(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const {
  const Tensor p = predicted.to(torch::kFloat32), x = x_t.to(torch::kFloat32);
  if (prediction_ == Prediction::sample) return p;
  const auto [a, s] = levels(*this, t, x);
  if (prediction_ == Prediction::flow) return x - s * p;
  return prediction_ == Prediction::epsilon ? (x - s * p) / a : a * x - s * p;
}

Tensor NoiseProcess::to_epsilon(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const {
  const Tensor p = predicted.to(torch::kFloat32), x = x_t.to(torch::kFloat32);
  if (prediction_ == Prediction::epsilon) return p;
  const auto [a, s] = levels(*this, t, x);
  if (prediction_ == Prediction::flow) return x + a * p;
  return prediction_ == Prediction::sample ? (x - a * p) / s : a * p + s * x;
}

Tensor NoiseProcess::snr(const Tensor& t) const { return (alpha(t) / sigma(t)).square(); }

Tensor NoiseProcess::omega(const Tensor& t, const Tensor& s) const {
  const Tensor a = precise(alpha(t)), noise = precise(sigma(t));
  const Tensor gained = (precise(alpha(s)) / precise(sigma(s))).square() - (a / noise).square();
  switch (prediction_) {  // |x0 - to_x0(predicted)|^2 over |target - predicted|^2
    case Prediction::epsilon:
      return (gained * (noise / a).square()).to(torch::kFloat32);
    case Prediction::v:
    case Prediction::flow:
      return (gained * noise.square()).to(torch::kFloat32);
    case Prediction::sample:
      break;
  }
  return gained.to(torch::kFloat32);
}

std::pair<Tensor, Tensor> NoiseProcess::exact_levels(const Tensor& t) const { return {precise(alpha(t)), precise(sigma(t))}; }

namespace {

// What a prediction tells, as a mixture of x_t and the prediction itself.
struct Mixture {
  Tensor of_x, of_prediction;  // [B] float64
};
struct Told {
  Mixture x0, noise;
};
Told told(Prediction prediction, const Tensor& a, const Tensor& s) {
  const Tensor one = torch::ones_like(a), none = torch::zeros_like(a);
  switch (prediction) {
    case Prediction::epsilon:
      return {{1 / a, -s / a}, {none, one}};
    case Prediction::v:
      return {{a, -s}, {s, a}};
    case Prediction::sample:
      return {{none, one}, {1 / s, -a / s}};
    case Prediction::flow:
      break;
  }
  return {{one, -s}, {one, a}};
}

}  // namespace

// The parts of the mean that the prediction has in x0 and in the noise nearly cancel over a short step: they are added up before anything
// is rounded to float32.
StepMoments NoiseProcess::step(const Tensor& predicted, const Tensor& x_t, const Tensor& t, const Tensor& s, double eta) const {
  const Tensor from = t.to(x_t.device()), to = s.to(x_t.device());
  const auto [a_t, s_t] = exact_levels(from);
  const auto [a, noise] = exact_levels(to);
  const Tensor variance = noise.square();
  // SNR(t) / SNR(s), from the table itself: a difference of variances would lose the digits of a short step. 1 where both are pure noise.
  const Tensor after = precise(snr(to)), lost = torch::where(after > 0, precise(snr(from)) / after, torch::ones_like(after));
  const Tensor std = eta * (variance * (1 - lost).clamp_min(0)).sqrt();  // of q(x_s | x_t, x0) at eta 1
  const Tensor rest = (variance - std.square()).clamp_min(0).sqrt();
  const Told it = told(prediction_, a_t, s_t);
  const auto times = [&](const Tensor& weight, const Tensor& x) {
    return per_sample(weight.to(torch::kFloat32), x) * x.to(torch::kFloat32);
  };
  const Tensor mean =
      times(a * it.x0.of_x + rest * it.noise.of_x, x_t) + times(a * it.x0.of_prediction + rest * it.noise.of_prediction, predicted);
  return {mean, per_sample(std.to(torch::kFloat32), x_t)};
}

std::unique_ptr<NoiseProcess> make_noise_process(const Json& scheduler_config) {
  const SchedulerConfig config(scheduler_config);
  const std::string name = config.text("_class_name", "");
  for (const char* other : {"EDM", "CogVideoX"})
    check<UsageError>(!name.starts_with(other), "scheduler_config.json: the noise of ", name,
                      " is not supported: expected a scheduler of betas, or a rectified flow (FlowMatchEulerDiscreteScheduler)");
  if (name.starts_with("FlowMatch") || config.flag("use_flow_sigmas", false)) return std::make_unique<RectifiedFlow>(scheduler_config);
  return std::make_unique<NoiseSchedule>(scheduler_config);
}

}  // namespace palate
