#include "palate/objective/loss/importance_loss.h"

#include <torch/types.h>

#include "palate/config/fields.h"
#include "palate/objective/importance.h"

namespace palate {

void ImportanceLossConfig::visit(Fields& f) {
  f("beta", beta, "strength of the tie to the reference; 2000 to 5000 is usual for U-Nets", {.min = 0});
  f("beta_convention", beta_convention,
    "palate: z = beta/2 * margin, as the paper; diffusers: z = beta * margin; per-T: z = 1000 beta/2 * margin",
    {.choices = {"palate", "diffusers", "per-T"}});
  f("label_smoothing", label_smoothing, "share of labels taken to be wrong; 0 trusts them all", {.min = 0, .max = 0.5});
  f("weight", weight, "where the importance weight stands: inside the logits (SDPO), or outside before the loss (DPO-C&M)",
    {.choices = {"inside", "outside"}});
  f("importance", importance, "weight of a denoising step: expected over the steps that may be taken, or at one sampled step",
    {.choices = {"expected", "sampled"}});
  f("ratio", ratio, "of the policy's step to the true posterior's, or to the reference's", {.choices = {"posterior", "reference"}});
  f("threshold", threshold, "pairs of a lower weight than this are masked; 0: none", {.min = 0, .max = 1});
  f("quantile", quantile, "in place of threshold, this share of a pass's pairs is masked, the lowest weights; 0: threshold",
    {.min = 0, .max = 1});
  f("clip", clip, "weights are clipped to [1 - clip, 1 + clip]", {.min = 0, .max = 1});
  f.require(beta > 0, "objective.beta is 0: the loss would not depend on the model; 2000 to 5000 is usual");
  f.require(quantile < 1, "objective.quantile is 1: every pair would be masked but one; 0 masks by threshold");
}

Needs ImportanceLoss::needs() const {
  return {.reference = true,
          .rejected = true,
          .output = true,
          .reference_output = config_.ratio == "reference",
          .steps = true,
          .step_noise = config_.importance == "sampled"};
}

double ImportanceLoss::scale() const {
  if (config_.beta_convention == "diffusers") return config_.beta;
  return config_.beta_convention == "per-T" ? 500 * config_.beta : config_.beta / 2;
}

Tensor ImportanceLoss::weights(const Statistics& s) const {
  const bool sampled = config_.importance == "sampled";
  Tensor logs = log_importance(s.policy, s.noised, sampled);
  if (config_.ratio == "reference") logs = logs - log_importance(s.reference, s.noised, sampled);
  return importance_weight(logs);
}

LossOutput ImportanceLoss::operator()(const Statistics& s, const Ranks&) const {
  const Tensor gain = s.reference.d - s.policy.d, weights = this->weights(s).to(gain.dtype());
  const Tensor used = weights.clamp(1 - config_.clip, 1 + config_.clip);
  const Tensor least = at::minimum(s.win(weights), s.lose(weights)), used_least = at::minimum(s.win(used), s.lose(used));
  const Tensor mask =
      (config_.quantile > 0 ? least.ge(at::quantile(least, config_.quantile)) : least.ge(config_.threshold)).to(gain.dtype());

  const bool inside = config_.weight == "inside";
  const Tensor weighed = inside ? used * gain : gain, z = scale() * (s.win(weighed) - s.lose(weighed));
  const Tensor preferred = s.batch.label * (1 - 2 * config_.label_smoothing) + config_.label_smoothing;
  const Tensor loss = -preferred * at::log_sigmoid(z) - (1 - preferred) * at::log_sigmoid(-z);
  const Tensor changed = used.ne(weights).to(gain.dtype());
  return {.loss = mask * (inside ? loss : used_least * loss),
          .logits = z,
          .reward = (scale() * gain).detach(),
          .terms = {{"importance", least},
                    {"weight", inside ? (s.win(used) + s.lose(used)) / 2 : used_least},
                    {"masked", 1 - mask},
                    {"clipped", mask * (s.win(changed) + s.lose(changed)) / 2}},
          .count = mask.sum().clamp_min(1),
          .shown = {{"weight_win", s.win(used)}, {"weight_lose", s.lose(used)}, {"mask", mask}}};
}

}  // namespace palate
