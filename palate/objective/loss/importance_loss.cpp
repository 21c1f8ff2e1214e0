#include "palate/objective/loss/importance_loss.h"

#include <torch/types.h>

#include "palate/objective/importance.h"

namespace palate {

void ImportanceLossConfig::visit(Fields& f) {
  beta.visit(f, "strength of the tie to the reference; 2000 to 5000 is usual for U-Nets with dpo: compare at one beta");
  pair.visit(f);
  f("weight", weight, "where the importance weight stands: inside the logits (SDPO), or outside before the loss (DPO-C&M)",
    {.choices = {"inside", "outside"}});
  f("importance", importance, "weight of a denoising step: expected over the steps that may be taken, or at one sampled step",
    {.choices = {"expected", "sampled"}});
  f("ratio", ratio, "of the policy's step to the true posterior's, or to the reference's", {.choices = {"posterior", "reference"}});
  f("threshold", threshold, "pairs of a lower weight than this are masked; 0: none", {.min = 0, .max = 1});
  f("quantile", quantile, "in place of threshold, this share of a pass's pairs is masked, the lowest weights; 0: threshold",
    {.min = 0, .max = 1});
  f("clip", clip, "weights are clipped to [1 - clip, 1 + clip]", {.min = 0, .max = 1});
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

Tensor ImportanceLoss::weights(const Statistics& s) const {
  const bool sampled = config_.importance == "sampled";
  Tensor logs = log_importance(s.policy, s.noised, sampled);
  if (config_.ratio == "reference") logs = logs - log_importance(s.reference, s.noised, sampled);
  return importance_weight(logs);
}

LossOutput ImportanceLoss::operator()(const Statistics& s, const Ranks&) const {
  const Tensor gain = s.reference.d - s.policy.d, w = weights(s).to(gain.dtype()), v = w.clamp(1 - config_.clip, 1 + config_.clip);
  const Tensor least = at::minimum(s.win(w), s.lose(w)), used_least = at::minimum(s.win(v), s.lose(v)), changed = v.ne(w).to(gain.dtype());
  const Tensor kept = config_.quantile > 0 ? least.ge(at::quantile(least, config_.quantile)) : least.ge(config_.threshold);
  const Tensor mask = kept.to(gain.dtype());

  const bool inside = config_.weight == "inside";
  const double k = config_.beta.k();
  const Tensor weighed = inside ? v * gain : gain, m = k * (s.win(weighed) - s.lose(weighed));
  const auto one_sided = [&](const Tensor& signed_m) {
    const Tensor loss = -at::log_sigmoid(signed_m - config_.pair.margin);
    return inside ? loss : used_least * loss;
  };
  LossOutput out{.loss = mask * config_.pair.expected(s, one_sided(m), one_sided(-m)),
                 .logits = m - config_.pair.margin,
                 .reward = (k * gain).detach(),
                 .terms = config_.pair.terms(s),
                 .count = mask.sum().clamp_min(1),
                 .shown = {{"weight_win", s.win(v)}, {"weight_lose", s.lose(v)}, {"mask", mask}}};
  out.terms["importance"] = least;
  out.terms["weight"] = inside ? (s.win(v) + s.lose(v)) / 2 : used_least;
  out.terms["masked"] = 1 - mask;
  out.terms["clipped"] = mask * (s.win(changed) + s.lose(changed)) / 2;
  return out;
}

}  // namespace palate
