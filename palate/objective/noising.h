// What every objective on pairs shares: the draw of (t, noise), and the errors of one network at it.
#pragma once

#include <utility>

#include "palate/objective/reference.h"
#include "palate/objective/timestep_policy.h"

namespace palate {

// t, weight and noise of each pair, keyed by (seed, pair id, draw): the same for winner and loser, for policy and reference,
// and for any batch that the pair falls into. On the latents' device.
Draw draw_noise(const PairBatch& batch, const std::vector<uint64_t>& draws, uint64_t seed, const TimestepPolicy& policy,
                const NoiseSchedule& schedule);

// Errors of `network` for winners and losers, each [B] float32, from one batch of 2B (B without losers; then the second is
// undefined). Gradients as the caller's mode says.
std::pair<Tensor, Tensor> branch_errors(Denoiser& network, const PairBatch& batch, const Draw& draw, const NoiseSchedule& schedule,
                                        const ErrorSpace& space, bool with_loser);

}  // namespace palate
