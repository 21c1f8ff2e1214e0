#include "palate/diffusion/gaussian_step.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/diffusion/schedule.h"
#include "palate/diffusion/scheduler_config.h"

namespace palate {

GaussianStep::GaussianStep(const NoiseProcess& process, const Json& scheduler_config, double guidance_scale, double eta)
    : process_(process),
      scheduler_config_(scheduler_config),
      guidance_scale_(guidance_scale),
      eta_(eta),
      clean_end_(SchedulerConfig(scheduler_config).flag("set_alpha_to_one", true)) {
  check<UsageError>(dynamic_cast<const NoiseSchedule*>(&process) != nullptr,
                    "the noise of this model is a rectified flow: training on its own steps is there for models with a table of betas "
                    "(Stable Diffusion 1, 2 and XL)");
}

GaussianStep::Grid GaussianStep::grid(int64_t count) const {
  const auto sampler = make_sampler("ddim", scheduler_config_);
  sampler->set_timesteps(count);
  const int64_t stride = static_cast<const NoiseSchedule&>(process_).steps() / count;
  Grid grid;
  for (int64_t i = 0; i < count; ++i) {
    grid.t.push_back(sampler->timesteps()[i].item<int64_t>());
    grid.s.push_back(grid.t.back() - stride);  // whatever the spacing, as in the reference
  }
  return grid;
}

Tensor GaussianStep::predict(Denoiser& network, const Tensor& x_t, const Tensor& t, const Condition& positive,
                             const Condition& negative) const {
  if (!guided()) return network.predict(x_t, t, positive).to(torch::kFloat32);
  check<UsageError>(!negative.empty(), "guidance of ", guidance_scale_, " needs the text states of the empty prompt");
  const Tensor both = network.predict(torch::cat({x_t, x_t}), torch::cat({t, t}), Condition::cat({negative, positive})).to(torch::kFloat32);
  const Tensor without = both.narrow(0, 0, x_t.size(0)), with = both.narrow(0, x_t.size(0), x_t.size(0));
  return without + guidance_scale_ * (with - without);
}

Transition GaussianStep::transition(const Tensor& predicted, const Tensor& x_t, const Tensor& t, const Tensor& s) const {
  // The end is either clean, or as clean as the first timestep (diffusers' final_alpha_cumprod).
  const StepMoments moments = process_.step(predicted, x_t, t, s.clamp_min(0), eta_);
  if (!clean_end_) return {moments.mean, moments.std};
  const Tensor ends = per_sample(s.to(x_t.device()) < 0, x_t);
  return {torch::where(ends, process_.to_x0(predicted, x_t, t), moments.mean),
          torch::where(ends, torch::zeros_like(moments.std), moments.std)};
}

}  // namespace palate
