// What a training step costs, and how many of them are equal compute.
#pragma once

#include <cstdint>

#include "palate/compare/compare_config.h"
#include "palate/train/run_config.h"

namespace palate {

// Passes of one picture through the network for each pair of a step, counted in forward passes, a backward pass as two: three for the
// policy, one more where a reference is computed and not cached; times two pictures for losses that look at both. An error space that
// runs the network more than once, or a part of it, is not seen here: its method says `passes` itself, or seconds are made equal.
//   DPO: 2 (1 + 2) + 2 (1) = 8.   SFT: 1 + 2 = 3.   DPO with a cached reference: 6.
double passes_per_pair(const RunConfig& config);

// Pairs that a step sees.
int64_t pairs_per_step(const RunConfig& config);

struct StepCost {
  double pairs = 0, passes = 0;  // of one step
  double seconds = 0;            // of processor time, where it was measured
};
StepCost step_cost(const Method& method, const RunConfig& config, double seconds = 0);

// The whole number of steps that is nearest to share * compute.amount, at least 1: amount steps; amount pairs over a step's pairs;
// amount passes over a step's passes; amount seconds over a step's seconds. UsageError where a step's seconds are not known.
int64_t equal_steps(const Compute& compute, double share, const StepCost& cost);

}  // namespace palate
