#include "palate/diffusion/rectified_flow.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {

RectifiedFlow::RectifiedFlow(const Json& scheduler_config) : NoiseProcess(Prediction::flow) {
  const SchedulerConfig config(scheduler_config);
  config.refuse("invert_sigmas");
  total_ = static_cast<double>(config.steps());
  shift_ = config.flag("use_flow_sigmas", false) ? config.number("flow_shift", 1) : config.number("shift", 1);
  check<FormatError>(shift_ > 0, "scheduler_config.json: the shift of a flow should be above 0, found ", shift_);
  if (config.flag("use_dynamic_shifting", false)) shift_ = 1;
}

Tensor RectifiedFlow::sigma(const Tensor& t) const { return t.to(torch::kFloat32) / total_; }
Tensor RectifiedFlow::alpha(const Tensor& t) const { return 1 - sigma(t); }

Tensor RectifiedFlow::timesteps(const std::vector<double>& drawn) const {
  for (const double each : drawn)
    check(each >= 1 && each <= total_, "rectified flow: expected timesteps from 1 to ", total_, ", found ", each);
  const Tensor s = torch::tensor(drawn, torch::kFloat64).to(torch::kFloat32) / total_;
  return shift_ * s / (1 + (shift_ - 1) * s) * total_;
}

}  // namespace palate
