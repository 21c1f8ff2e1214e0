// One method = error space x loss x timestep policy x reference, evaluated on one batch. What is no product of these (rollouts, reward
// models, language models) is a Task of its own (train/task.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "palate/objective/error_space.h"
#include "palate/objective/loss.h"
#include "palate/objective/objective_config.h"
#include "palate/objective/reference.h"
#include "palate/objective/timestep_policy.h"

namespace palate {

struct ObjectiveOutput {
  Tensor loss;                      // [], mean over the batch (or what the loss counts) of weight * loss, with gradients
  Tensor losses;                    // [B]
  int64_t examples = 0, views = 0;  // of d: rows of the data in the batch, and pictures of each that were looked at
  Tensor policy, reference;         // d [views * B], detached; the reference's undefined where the loss needs none
  LossOutput terms;
  std::map<std::string, double> metrics;  // objective/metrics.h
};

class Objective {
 public:
  // `network`, `frozen` and `load` of the setup are for error spaces; the process outlives this.
  Objective(const ObjectiveConfig& config, const SpaceSetup& setup);

  const Needs& needs() const { return needs_; }
  // UsageError when the loss needs a reference and there is none, or one that cannot give what it needs.
  void set_reference(std::unique_ptr<Reference> reference);

  // Loss::set_rewards.
  void set_rewards(const Tensor& all) { loss_->set_rewards(all); }

  // The batch as the loss sees it: pairs as single pictures where it wants labels, first views alone where it compares with nothing.
  // All that follow take either, and see what was seen as it is.
  Batch seen(const Batch& batch) const;
  // Timestep, weight and noise of each example that the loss sees, keyed by (seed, id, draw): the same for both views, for policy and
  // reference, and for any batch that the example falls into. On the batch's device. `draw_fixed` takes the timestep policy's stateless
  // twin.
  Noising draw(const Batch& batch, uint64_t seed) const;
  Noising draw_fixed(const Batch& batch, uint64_t seed) const;
  ObjectiveOutput evaluate(Policy& policy, const Batch& batch, const Noising& noising, const Ranks& ranks = {});
  // The same of data that the timestep policy is not to learn from.
  ObjectiveOutput measure(Policy& policy, const Batch& batch, const Noising& noising) const;
  // d [views * B] of one network alone, without gradients: what a reference's cache holds.
  Tensor errors(Denoiser& network, const Batch& batch, const Noising& noising) const;

  TimestepPolicy& timesteps() { return *timesteps_; }
  Beta* strength() { return loss_->strength(); }         // null: the loss has no beta
  const TimestepRange& range() const { return range_; }  // of the timesteps that the error space has a use for
  // Everything that errors() depends on besides network and batch, for a hash.
  std::string noising_key() const;

 private:
  Noising draw_with(const TimestepPolicy& timesteps, const Batch& batch, uint64_t seed) const;
  Timestep useful(const TimestepPolicy& timesteps, Generator& generator) const;
  void check_batch(const Batch& batch) const;
  void check_drawn(const Noising& noising) const;
  Noised noised(const Batch& batch, const Noising& noising) const;
  void check_noising() const;
  // Puts the pictures where the policy's inversion leads, and their noise and target after them.
  void invert(Noised& noised, const Noising& noising, const Batch& batch, Policy& policy) const;
  RunBranch branch(const Noised& noised, const Condition& frozen, int64_t views) const;
  using Observe = std::function<void(const Statistics&)>;
  ObjectiveOutput compute(Policy& policy, const Batch& batch, const Noising& noising, const Ranks& ranks, const Observe& observe) const;

  ObjectiveConfig config_;
  const NoiseProcess& process_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<ErrorSpace> space_;
  TimestepRange range_;
  std::unique_ptr<TimestepPolicy> timesteps_, fixed_;  // fixed_: null where the policy has no state
  std::unique_ptr<Reference> reference_;
  Needs needs_;
};

// The weight of min-SNR (Hang et al., 2303.09556, section 3.4) at t [B], float32: min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v,
// times nothing for sample: as diffusers' training scripts compute it.
Tensor min_snr_weight(const NoiseProcess& process, const Tensor& t, double gamma);

}  // namespace palate
