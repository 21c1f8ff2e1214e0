#include "palate/objective/step_objective.h"

#include <torch/types.h>

#include <optional>

#include "palate/core/error.h"
#include "palate/diffusion/rollout.h"

namespace palate {

StepObjective::StepObjective(const ObjectiveConfig& config, const GaussianStep& step)
    : loss_name_(config.loss), loss_(make_step_loss(config)), needs_(loss_->needs()), step_(step) {}

void StepObjective::set_reference(std::unique_ptr<Reference> reference) {
  check<UsageError>(reference || !needs_.reference, "objective.loss '", loss_name_,
                    "' needs a reference: choose adapters_off, frozen_copy or snapshot for objective.reference");
  reference_ = std::move(reference);
}

StepOutput StepObjective::evaluate(Policy& policy, const MadeSteps& batch) const {
  const Tensor leads_to = batch.s.to(torch::kCPU).contiguous();
  for (int64_t i = 0; i < leads_to.numel(); ++i) {
    const int64_t s = leads_to.const_data_ptr<int64_t>()[i];
    check<UsageError>(step_.draws(s), "a step to timestep ", s,
                      " adds no noise, so what it gave has no density: eta must be above 0, and the end must not be clean "
                      "(set_alpha_to_one in scheduler_config.json)");
  }
  const auto transition = [&](Denoiser& network, const Condition& condition) {
    return step_.transition(step_.predict(network, batch.x_t, batch.t, condition, batch.negative), batch.x_t, batch.t, batch.s);
  };
  StepStatistics statistics;
  statistics.advantages = batch.advantages;
  std::optional<Transition> reference;
  if (reference_) {  // first: its forward pass is over before the policy's graph takes memory
    const torch::NoGradGuard no_grad;
    Batch asked;
    asked.condition = batch.positive;
    reference_->run(
        [&](Denoiser& network, const Condition& condition) {
          reference = transition(network, condition);
          return Branch{};
        },
        policy, asked);
    statistics.reference_log_prob = log_prob(batch.x_s, *reference);
  }
  const Transition own = transition(policy.network, batch.positive);
  statistics.log_prob = log_prob(batch.x_s, own);
  statistics.old_log_prob = batch.old_log_prob.defined() ? batch.old_log_prob : statistics.log_prob.detach();
  if (reference) statistics.kl = ((own.mean - reference->mean).square() / (2 * own.std.square())).flatten(1).mean(1);
  StepOutput out;
  out.terms = (*loss_)(statistics);
  out.losses = out.terms.loss;
  out.log_prob = statistics.log_prob.detach();
  out.ratio = (out.log_prob - (needs_.pairs() ? statistics.reference_log_prob : statistics.old_log_prob)).exp();
  if (reference) out.kl = statistics.kl.detach();
  return out;
}

std::map<std::string, double> step_metrics(const StepOutput& output) {
  std::map<std::string, double> means;
  const auto add = [&](const std::string& name, const Tensor& values) {
    means[name] = values.detach().to(torch::kFloat64).mean().item<double>();
  };
  if (output.kl.defined()) add("kl", output.kl);
  if (const Tensor& z = output.terms.logits; z.defined()) {
    add("inside_term", z);
    add("implicit_acc", z.gt(0).to(torch::kFloat64) + 0.5 * z.eq(0).to(torch::kFloat64));
  }
  for (const auto& [name, values] : output.terms.terms) add(name, values);
  return means;
}

}  // namespace palate
