// A picture's way from noise as a chain of draws with their densities: what policy gradients (DDPO, DPOK, D3PO, SPO) train on.
#pragma once

#include "palate/diffusion/sampler.h"

namespace palate {

// log p(x_next) under the transition, [B] float32: the MEAN over a sample's elements of -(x_next - mean)^2 / (2 std^2) - log std -
// log(2 pi) / 2, as in DDPO's code (kvablack/ddpo-pytorch; 2305.13301), D3PO's and SPO's; not their sum, whose ratios would leave float32.
// Gradients reach the mean (detach x_next, which was drawn from it).
Tensor log_prob(const Tensor& x_next, const Transition& transition);

struct Trajectory {
  Tensor x;                // [S + 1, N, C, ...] float32: before each of S steps, and at the end
  Tensor t;                // [S]: what the network was told, int64 or float32
  Tensor log_prob;         // [S, N] float32, of x[i + 1] given x[i]; 0 for a step that adds no noise
  Tensor latents() const;  // [N, C, ...]: x[S]
};

// sample_latents, with all that came up on the way. Step i of the trajectory is step options.begin + i of the sampler. UsageError for a
// sampler without stochastic transitions (take ddpm, or ddim with eta above 0), and for a mask, which x is put back by from outside.
Trajectory roll_out(Denoiser& denoiser, Sampler& sampler, const Tensor& starting_noise, const Condition& positive,
                    const Condition& negative, SampleOptions options);

}  // namespace palate
