#include "palate/objective/objective.h"

#include <torch/types.h>

#include <algorithm>
#include <optional>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/step_metrics.h"

namespace palate {
namespace {

// Diffusion-SDPO (2511.03317; AIDC-AI/Diffusion-SDPO): what the rejected picture's error teaches is scaled by lambda, for each pair,
//   lambda = min(1, (1 - mu) |e_w|^2 / (e_w . e_l)) where e_w . e_l > 0, else 1,
// the largest with which, to first order and in the space of the errors, the preferred picture's error does not rise. No value changes.
Tensor safeguard(Statistics& statistics, double mu) {
  Branch& policy = statistics.policy;
  const Tensor residual = policy.residual.detach(), win = statistics.win(residual), lose = statistics.lose(residual);
  const Tensor along = Statistics::inner(win, lose);
  const Tensor bound = (1 - mu) * Statistics::inner(win, win) / at::where(along.gt(0), along, at::ones_like(along));
  const Tensor lambda = at::where(along.gt(0), bound.clamp_max(1), at::ones_like(bound));
  const Tensor d = statistics.lose(policy.d);
  policy.d = at::cat({statistics.win(policy.d), d.detach() + lambda * (d - d.detach())});
  return lambda;
}

}  // namespace

Tensor Statistics::inner(const Tensor& a, const Tensor& b) { return (a * b).flatten(1).mean(1); }

Objective::Objective(const ObjectiveConfig& config, const SpaceSetup& setup)
    : config_(config),
      process_(setup.process),
      loss_(make_loss(config)),
      space_(make_error_space(config, setup)),
      range_(space_->range(setup.process)),
      timesteps_(make_timestep_policy(config)),
      fixed_(timesteps_->fixed()),
      needs_(loss_->needs()) {
  if (timesteps_->needs_steps()) needs_.steps = needs_.output = true;
  check_noising();
}

void Objective::set_reference(std::unique_ptr<Reference> reference) {
  check<UsageError>(reference || !needs_.reference, "objective.loss '", config_.loss, "' needs a reference, but objective.reference is '",
                    config_.reference, "': choose adapters_off, frozen_copy or cached");
  const bool predictions = needs_.residuals || needs_.reference_output;
  check<UsageError>(!reference || !predictions || reference->gives_residuals(), "objective.loss '", config_.loss,
                    "' compares predictions, and objective.reference = \"", config_.reference,
                    "\" keeps their errors alone: choose adapters_off or frozen_copy");
  reference_ = std::move(reference);
}

RunBranch Objective::branch(const Noised& noised, const Condition& frozen, int64_t views) const {
  std::optional<Tensor> target;  // embedded when the first network asks
  return [this, &noised, frozen, views, target](Denoiser& network, const Condition& condition) mutable {
    if (!target) {
      const torch::NoGradGuard no_grad;
      target = space_->embed(noised, frozen, noised.target);
    }
    const Tensor prediction = network.predict(noised.x_t, noised.t, condition.repeat(views));
    const Tensor residual = space_->embed(noised, frozen, prediction) - *target;
    const bool output = needs_.output || needs_.reference_output;
    return Branch{.d = residual.square().flatten(1).mean(1),
                  .residual = needs_.residuals || config_.safeguard > 0 ? residual : Tensor(),
                  .output = output ? prediction.detach().to(torch::kFloat32) - noised.target : Tensor()};
  };
}

ObjectiveOutput Objective::evaluate(Policy& policy, const Batch& batch, const Noising& noising, const Ranks& ranks) {
  ObjectiveOutput out = compute(policy, batch, noising, ranks, [this](const Statistics& statistics) { timesteps_->observe(statistics); });
  out.metrics.merge(timesteps_->metrics());
  return out;
}

ObjectiveOutput Objective::measure(Policy& policy, const Batch& batch, const Noising& noising) const {
  return compute(policy, batch, noising, {}, [](const Statistics&) {});
}

Batch Objective::seen(const Batch& batch) const {
  if (needs_.labels) return batch.singles();
  return needs_.rejected || batch.views == 1 ? batch : batch.first_view();
}

void Objective::check_batch(const Batch& batch) const {
  check<UsageError>(!needs_.rejected || batch.views == 2, "objective.loss '", config_.loss,
                    "' compares a preferred picture with a rejected one, and the batch has single pictures");
  check<UsageError>(!needs_.rewards || batch.reward.defined(), "objective.loss '", config_.loss,
                    "' weighs pictures by their rewards, and the batch has none");
  check<UsageError>(batch.size() >= needs_.least_batch, "objective.loss '", config_.loss, "' needs at least ", needs_.least_batch,
                    " examples in one pass, found ", batch.size(), ": raise train.batch");
  check(!needs_.reference || reference_, "objective: set_reference comes before evaluate");
}

ObjectiveOutput Objective::compute(Policy& policy, const Batch& given, const Noising& noising, const Ranks& ranks,
                                   const Observe& observe) const {
  const Batch batch = seen(given);
  check_batch(batch);
  check_drawn(noising);
  Noised noised = this->noised(batch, noising);
  if (config_.noising == "inverted") invert(noised, noising, batch, policy);
  const RunBranch run = branch(noised, policy.condition(batch, Prompts::base), batch.views);
  Branch reference;
  if (needs_.reference) {  // first: its forward pass is over before the policy's graph takes memory
    const torch::NoGradGuard no_grad;
    reference = reference_->run(run, policy, batch);
  }
  Statistics statistics{run(policy.network, policy.condition(batch, Prompts::own)), reference, batch, noised};
  const Tensor lambda = config_.safeguard > 0 ? safeguard(statistics, config_.safeguard) : Tensor();
  ObjectiveOutput out;
  out.terms = (*loss_)(statistics, ranks);
  if (lambda.defined()) out.terms.terms["lambda"] = lambda;
  out.losses = out.terms.loss * noising.weight;
  if (noised.error_weight.defined() && !needs_.error_weight) out.losses = out.losses * noised.error_weight.narrow(0, 0, batch.size());
  out.loss = out.terms.count.defined() ? out.losses.sum() / out.terms.count : out.losses.mean();
  // Two pictures of one pair are of one row.
  out.examples = std::count_if(batch.visits.begin(), batch.visits.end(), [](const Visit& visit) { return visit.view == 0; });
  out.views = batch.x0.size(0) / out.examples;
  out.policy = statistics.policy.d.detach();
  out.reference = reference.d;
  out.metrics = step_metrics(out);
  observe(statistics);
  return out;
}

Tensor Objective::errors(Denoiser& network, const Batch& given, const Noising& noising) const {
  const torch::NoGradGuard no_grad;
  const Batch batch = seen(given);
  const Noised noised = this->noised(batch, noising);
  const Condition& condition = batch.base_condition.empty() ? batch.condition : batch.base_condition;
  return branch(noised, condition, batch.views)(network, condition).d;
}

std::string Objective::noising_key() const {
  ObjectiveConfig copy = config_;
  std::string key = copy.error_space + "\n" + config_to_toml([&](Fields& f) { copy.error_space_constants.visit(f); });
  key += copy.timesteps + "\n" + config_to_toml([&](Fields& f) { copy.timestep_constants.visit(f); });
  if (copy.noise_offset > 0) key += concat("noise_offset=", copy.noise_offset, "\n");
  // Pictures of a pair that are judged one by one have noise of their own. Pairs add nothing, so that caches of theirs stay.
  if (needs_.labels)
    key += "singles\n";
  else if (!needs_.rejected)
    key += "first view\n";
  const TimestepRange range = process_.range();
  const int64_t points = range.whole ? static_cast<int64_t>(range.last - range.first) + 1 : 101;
  std::vector<double> drawn;
  for (int64_t i = 0; i < points; ++i) {
    drawn.push_back(range.first +
                    static_cast<double>(i) * (range.last - range.first) / std::max<double>(1, static_cast<double>(points - 1)));
  }
  const Tensor t = process_.timesteps(drawn);
  key += prediction_name(process_.prediction());
  for (const Tensor& part : {process_.alpha(t), process_.sigma(t)}) {
    const Tensor values = part.to(torch::kCPU, torch::kFloat32).contiguous();
    key.append(reinterpret_cast<const char*>(values.data_ptr<float>()), static_cast<size_t>(values.numel()) * sizeof(float));
  }
  return key;
}

}  // namespace palate
