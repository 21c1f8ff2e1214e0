// What losses on steps share.
#pragma once

#include <torch/types.h>

#include <cmath>

#include "palate/objective/step_loss.h"

namespace palate {

// PPO's clipped surrogate, [B]: max(-A ratio, -A clip(ratio, 1 +- clip)) with ratio = exp(log_prob - old_log_prob), and A clamped to
// +-advantage_clip; and what is logged of it.
inline LossOutput clipped_surrogate(const StepStatistics& s, double clip, double advantage_clip) {
  const Tensor moved = s.log_prob - s.old_log_prob, ratio = moved.exp(), advantage = s.advantages.clamp(-advantage_clip, advantage_clip);
  const Tensor plain = -advantage * ratio, clipped = -advantage * ratio.clamp(1 - clip, 1 + clip);
  return {.loss = at::maximum(plain, clipped),
          .terms = {{"approx_kl", moved.detach().square() / 2}, {"clipfrac", ((ratio.detach() - 1).abs() > clip).to(ratio.dtype())}}};
}

// -log sigmoid(beta log r_w - beta log r_l), r = clip(p / p_ref, 1 +- clip), [B].
inline LossOutput clipped_pair(const StepStatistics& s, double beta, double clip) {
  const Tensor gain = s.log_prob - s.reference_log_prob, kept = gain.clamp(std::log1p(-clip), std::log1p(clip));
  const Tensor z = beta * (StepStatistics::win(kept) - StepStatistics::lose(kept)), ratio = gain.detach().exp();
  return {.loss = -at::log_sigmoid(z),
          .logits = z,
          .reward = (beta * gain).detach(),
          .terms = {{"ratio_win", StepStatistics::win(ratio)},
                    {"ratio_lose", StepStatistics::lose(ratio)},
                    {"clipfrac", ((ratio - 1).abs() > clip).to(ratio.dtype())}}};
}

}  // namespace palate
