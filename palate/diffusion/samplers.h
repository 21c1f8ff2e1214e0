// The samplers by class. Each takes a scheduler_config.json as diffusers' class of that name would.
#pragma once

#include <memory>

#include "palate/diffusion/sampler.h"

namespace palate {

// Ho et al., 2020. variance_type fixed_small, fixed_small_log or fixed_large; clip_sample; stochastic.
std::unique_ptr<Sampler> make_ddpm(const Json& config);
// Song et al., 2021. The key `eta` (0: deterministic, 1: as DDPM), which diffusers takes as an argument, is read too.
std::unique_ptr<Sampler> make_ddim(const Json& config);
// Karras et al., 2022, algorithm 2 without churn, over the variance-exploding view of a discrete schedule.
std::unique_ptr<Sampler> make_euler(const Json& config);
// Liu et al., 2022, in the form that SD1.x and SD2.x ship: linear multistep only (skip_prk_steps).
std::unique_ptr<Sampler> make_pndm(const Json& config);

// Euler with noise at each step; with trailing spacing what SD-Turbo and SDXL-Turbo are sampled by.
std::unique_ptr<Sampler> make_euler_ancestral(const Json& config);
// Karras et al., 2022, algorithm 1: two evaluations a step.
std::unique_ptr<Sampler> make_heun(const Json& config);
// Lu et al., 2022 (2206.00927, 2211.01095): DPM-Solver and DPM-Solver++, ODE and SDE, of order 1 to 3.
std::unique_ptr<Sampler> make_dpm_solver(const Json& config);
// Zhao et al., 2023 (2302.04867).
std::unique_ptr<Sampler> make_unipc(const Json& config);
// Luo et al., 2023 (2310.04378): latent consistency models.
std::unique_ptr<Sampler> make_lcm(const Json& config);

}  // namespace palate
