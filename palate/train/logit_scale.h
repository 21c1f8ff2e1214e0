// How large z = k * margin is: what every run tells at its start, and beta = "auto" (docs/objectives.md, section 0.12).
#pragma once

#include <cstdint>

#include "palate/io/safetensors.h"
#include "palate/objective/objective.h"

namespace palate {

class LogitScale {
 public:
  // Of the objective's loss; nothing happens for one without a beta. `warmup`: steps before the learning rate is whole. With beta = "auto"
  // k is 1 until begin().
  LogitScale(Objective& objective, int64_t warmup, int64_t steps);

  bool waits() const { return waits_; }  // for begin(): before the first pass, or the first validation
  // Tells the size of z to expect, from a batch that is measured before any training. With "auto" it sets a first k: that of |z| =
  // beta_target where a margin is 1 % of the errors.
  void begin(const ObjectiveOutput& first);
  // With "auto": after auto_steps steps at the whole rate k becomes beta_target over the mean |margin| of the later half of these, for
  // the rest of the run. observe() each pass, end_step() after each update.
  void observe(int64_t step, const ObjectiveOutput& output, const Ranks& ranks);
  void end_step();

  bool is_automatic() const { return automatic_; }
  double beta() const;  // as it is now, in the config's convention
  void save(TensorMap& tensors) const;
  void load(const TensorMap& tensors);

 private:
  Beta* beta_;  // the loss's; null: it has none
  bool automatic_ = false, waits_ = false, chosen_ = true;
  int64_t first_ = 0, last_ = 0, step_ = 0;  // margins of steps first_ .. last_ - 1 are looked at
  double sum_ = 0, passes_ = 0;              // of mean |margin|
};

}  // namespace palate
