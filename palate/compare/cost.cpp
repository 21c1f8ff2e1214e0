#include "palate/compare/cost.h"

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/objective/statistics.h"

namespace palate {

double passes_per_pair(const RunConfig& config) {
  const Needs needs = needs_of(config.objective);
  const bool computed = needs.reference && config.objective.reference != "cached";
  return static_cast<double>(needs.pictures()) * (computed ? 4 : 3);
}

int64_t pairs_per_step(const RunConfig& config) { return config.train.batch * config.train.accumulation; }

StepCost step_cost(const Method& method, const RunConfig& config, double seconds) {
  const auto pairs = static_cast<double>(pairs_per_step(config));
  return {pairs, pairs * (method.passes > 0 ? method.passes : passes_per_pair(config)), seconds};
}

int64_t equal_steps(const Compute& compute, double share, const StepCost& cost) {
  const double one = compute.equal == "steps"    ? 1
                     : compute.equal == "pairs"  ? cost.pairs
                     : compute.equal == "passes" ? cost.passes
                                                 : cost.seconds;
  check<UsageError>(one > 0, "compute.equal: what a step costs in ", compute.equal, " is not known");
  return std::max<int64_t>(1, std::llround(share * compute.amount / one));
}

}  // namespace palate
