#include "palate/objective/objective.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/objective/make_reference.h"
#include "palate/objective/metrics.h"
#include "palate/objective/noising.h"

namespace palate {
namespace {

PairBatch as_policy(const PairBatch& batch) {
  PairBatch own = batch;
  if (batch.policy_condition.text.defined()) own.condition = batch.policy_condition;
  return own;
}

// The product of the axes.
class GridObjective : public Objective {
 public:
  GridObjective(const ObjectiveConfig& config, const NoiseSchedule& schedule, std::unique_ptr<Reference> reference)
      : config_(config), schedule_(schedule), reference_(std::move(reference)) {
    config_.build();
    check<UsageError>(reference_ || !config_.loss_member->needs_reference(), "objective.loss '", config.loss,
                      "' needs a reference, but objective.reference is '", config.reference,
                      "': choose adapters_off, frozen_copy or cached");
  }

  Draw draw(const PairBatch& batch, const std::vector<uint64_t>& draws, uint64_t seed) const override {
    std::vector<uint64_t> effective;
    for (uint64_t draw : draws) effective.push_back(effective_draw(config_, draw));
    return draw_noise(batch, effective, seed, config_, schedule_);
  }

  ObjectiveOutput evaluate(Denoiser& policy, const PairBatch& batch, const Draw& draw, const std::vector<uint64_t>& draws) override {
    const Loss& loss = *config_.loss_member;
    const ErrorSpace& space = *config_.error_space_member;
    ObjectiveOutput out;
    out.errors.preference = batch.preference.defined() ? batch.preference.to(batch.latents_win.device()) : torch::ones_like(draw.weight);
    // The reference first: its forward pass is over before the policy's graph takes memory.
    if (loss.needs_reference()) {
      std::tie(out.errors.reference_win, out.errors.reference_lose) =
          reference_->errors({batch, draw, draws, schedule_, space, policy, loss.needs_loser()});
    }
    std::tie(out.errors.policy_win, out.errors.policy_lose) =
        branch_errors(policy, as_policy(batch), draw, schedule_, space, loss.needs_loser());
    out.terms = loss(out.errors, draw);
    out.losses = out.terms.loss * draw.weight;
    out.loss = out.losses.mean();
    out.metrics = step_metrics(out);
    return out;
  }

 private:
  ObjectiveConfig config_;
  NoiseSchedule schedule_;
  std::unique_ptr<Reference> reference_;
};

}  // namespace

std::unique_ptr<Objective> make_objective(const ObjectiveConfig& config, const NoiseSchedule& schedule,
                                          std::unique_ptr<Reference> reference) {
  return std::make_unique<GridObjective>(config, schedule, std::move(reference));
}

uint64_t effective_draw(const ObjectiveConfig& config, uint64_t draw) {
  return config.reference == "cached" ? draw % static_cast<uint64_t>(config.reference_draws) : draw;
}

}  // namespace palate
