// Losses on denoising steps that the model made itself, with their densities: an axis of its own beside the grid's losses, which look at
// noised pictures of the data (docs/objectives.md, section 5).
#pragma once

#include "palate/objective/statistics.h"

namespace palate {

// Log-densities and KL are means over a step's dimensions. Of pairs of steps: all preferred ones, then all rejected ones.
struct StepStatistics {
  Tensor log_prob;            // [views * B], of the policy, with gradients
  Tensor reference_log_prob;  // [views * B]; undefined where there is no reference
  Tensor old_log_prob;        // [views * B], of the policy when it made the step
  Tensor kl;                  // [views * B], KL(policy || reference) of the step, with gradients; undefined where there is no reference
  Tensor advantages;          // [B]; undefined for pairs

  static Tensor win(const Tensor& values) { return values.narrow(0, 0, values.size(0) / 2); }
  static Tensor lose(const Tensor& values) { return values.narrow(0, values.size(0) / 2, values.size(0) / 2); }
};

// Which steps a loss compares. advantage: none with another, each has its picture's reward. paths: the same step of two pictures of one
// prompt, of which the judge prefers one. candidates: two next states of one x_t, told apart by what they promise.
enum class Compares : uint8_t { advantage, paths, candidates };

struct StepNeeds {
  bool reference = false;
  Compares compares = Compares::advantage;
  bool groups = false;  // advantages are those within a prompt's pictures of the epoch; prompts whose pictures are all alike are left out
  bool pairs() const { return compares != Compares::advantage; }
};

class StepLoss {
 public:
  virtual ~StepLoss() = default;
  virtual StepNeeds needs() const = 0;
  virtual LossOutput operator()(const StepStatistics& statistics) const = 0;
};

}  // namespace palate
