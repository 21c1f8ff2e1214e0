// Loss axis: errors of policy and reference -> a loss for each example, and its implicit rewards.
#pragma once

#include "palate/core/ranks.h"
#include "palate/objective/statistics.h"

namespace palate {

struct Beta;

class Loss {
 public:
  virtual ~Loss() = default;
  virtual Needs needs() const = 0;
  // Of every example that will be drawn, as often as an epoch has it, float64: for losses whose needs() say `rewards`.
  virtual void set_rewards(const Tensor& /*all*/) {}
  // A mean over more than the batch is ranks.mean of a detached one.
  virtual LossOutput operator()(const Statistics& statistics, const Ranks& ranks) const = 0;
  // The beta of z = k * margin, which training may set (beta = "auto"); null: the loss has none.
  virtual Beta* strength() { return nullptr; }
};

}  // namespace palate
