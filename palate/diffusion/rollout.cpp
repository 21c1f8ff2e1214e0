#include "palate/diffusion/rollout.h"

#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "palate/core/error.h"

namespace palate {

Tensor log_prob(const Tensor& x_next, const Transition& transition) {
  const Tensor x = x_next.to(torch::kFloat32), variance = transition.std.square();
  const Tensor each = -(x - transition.mean).square() / (2 * variance) - transition.std.log() - std::log(2 * std::numbers::pi) / 2;
  return each.flatten(1).mean(1);
}

Tensor Trajectory::latents() const { return x[-1]; }

Trajectory roll_out(Denoiser& denoiser, Sampler& sampler, const Tensor& starting_noise, const Condition& positive,
                    const Condition& negative, SampleOptions options) {
  check<UsageError>(!options.mask.defined(),
                    "rolling out: a mask puts parts of the picture back after each step, which has no density: leave it out");
  std::vector<Tensor> states, densities;
  const auto watch = std::move(options.on_transition);
  options.on_transition = [&](int64_t step, const Tensor& x, const Tensor& predicted, const Tensor& next) {
    const auto transition = sampler.transition(predicted, step, x);
    check<UsageError>(transition || !densities.empty(),
                      "rolling out: the steps of this sampler are no draws with a density: take ddpm, or ddim with eta above 0");
    states.push_back(x);
    densities.push_back(transition ? log_prob(next, *transition) : torch::zeros({x.size(0)}, x.options()));
    if (watch) watch(step, x, predicted, next);
  };
  states.push_back(sample_latents(denoiser, sampler, starting_noise, positive, negative, options));
  return {torch::stack(states), sampler.timesteps().slice(0, options.begin), torch::stack(densities)};
}

}  // namespace palate
