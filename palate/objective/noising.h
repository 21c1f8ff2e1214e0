// What every objective on pairs shares: the draw of (t, noise), and the errors of one network at it.
#pragma once

#include <utility>

#include "palate/objective/objective.h"

namespace palate {

// t, weight and noise of each pair, keyed by (seed, pair id, draw): the same for winner and loser, for policy and reference,
// and for any batch that the pair falls into. On the latents' device. The config must be built; its timestep policy, noise_offset and
// snr_gamma are used.
Draw draw_noise(const PairBatch& batch, const std::vector<uint64_t>& draws, uint64_t seed, const ObjectiveConfig& config,
                const NoiseSchedule& schedule);

// The weight of min-SNR (Hang et al., 2303.09556, section 3.4) at t: min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v, times nothing
// for sample: as diffusers' training scripts compute it.
double min_snr_weight(const NoiseSchedule& schedule, int64_t t, double gamma);

// Errors of `network` for winners and losers, each [B] float32, from one batch of 2B (B without losers; then the second is
// undefined). Gradients as the caller's mode says.
std::pair<Tensor, Tensor> branch_errors(Denoiser& network, const PairBatch& batch, const Draw& draw, const NoiseSchedule& schedule,
                                        const ErrorSpace& space, bool with_loser);

}  // namespace palate
