// A loss on denoising steps, evaluated on one batch of them: policy and reference give each step's density, the loss compares them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "palate/diffusion/gaussian_step.h"
#include "palate/objective/objective_config.h"
#include "palate/objective/reference.h"
#include "palate/objective/step_loss.h"

namespace palate {

// Steps x_t -> x_s that were made. Of pairs: all preferred ones, then all rejected ones.
struct MadeSteps {
  Tensor x_t, x_s;               // [views * B, C, ...] float32
  Tensor t, s;                   // [views * B] int64; s below 0 is the end
  Condition positive, negative;  // one row a step; negative: empty without guidance
  Tensor advantages;             // [B]; undefined for pairs
  Tensor old_log_prob;           // [views * B]; undefined: the policy's own as it is now
};

struct StepOutput {
  Tensor losses;           // [B], with gradients
  LossOutput terms;        // the loss's own: logits, rewards, what it logs
  Tensor log_prob, ratio;  // [views * B], detached; ratio: to the reference for pairs, else to the old policy
  Tensor kl;               // [views * B], detached; undefined where there is no reference
};

class StepObjective {
 public:
  // Both outlive this.
  StepObjective(const ObjectiveConfig& config, const GaussianStep& step);
  const StepNeeds& needs() const { return needs_; }
  // UsageError when the loss needs a reference and there is none. One that it does not need is asked all the same, for the KL.
  void set_reference(std::unique_ptr<Reference> reference);
  StepOutput evaluate(Policy& policy, const MadeSteps& batch) const;

 private:
  std::string loss_name_;
  std::unique_ptr<StepLoss> loss_;
  StepNeeds needs_;
  const GaussianStep& step_;
  std::unique_ptr<Reference> reference_;
};

// Batch means of what a step logs, but for the loss: approx_kl, clipfrac, kl ..., and for pairs inside_term and implicit_acc.
std::map<std::string, double> step_metrics(const StepOutput& output);

}  // namespace palate
