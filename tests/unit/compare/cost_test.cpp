#include <doctest/doctest.h>

#include "palate/compare/cost.h"
#include "palate/config/config.h"
#include "palate/core/error.h"

using namespace palate;

namespace {

RunConfig run_of(std::vector<std::string> settings) {
  settings.insert(settings.end(), {"model=m", "output=o", "train.batch=16", "train.accumulation=2"});
  RunConfig run;
  load_config({.file_name = "", .file_text = "", .overrides = settings}, [&](Fields& f) { run.visit(f); });
  return run;
}

}  // namespace

TEST_CASE("equal compute: a pair's passes through the network") {
  CHECK(passes_per_pair(run_of({"objective.loss=dpo"})) == 8);
  CHECK(passes_per_pair(run_of({"objective.loss=dpo", "objective.reference=cached"})) == 6);
  CHECK(passes_per_pair(run_of({"objective.loss=sft", "objective.reference=none"})) == 3);
  CHECK(passes_per_pair(run_of({"objective.loss=kto"})) == 8);  // a pair is two pictures with a thumb each
}

TEST_CASE("equal compute: steps from what a step costs") {
  const StepCost dpo = step_cost({}, run_of({"objective.loss=dpo"}), 0.5);
  CHECK(dpo.pairs == 32);
  CHECK(dpo.passes == 256);
  const auto steps = [](const char* equal, double amount, double share, const StepCost& cost) {
    Compute compute;
    compute.equal = equal;
    compute.amount = amount;
    return equal_steps(compute, share, cost);
  };
  CHECK(steps("steps", 240, 1, dpo) == 240);
  CHECK(steps("steps", 240, 0.6, dpo) == 144);
  CHECK(steps("pairs", 3840, 1, dpo) == 120);
  CHECK(steps("passes", 30720, 1, dpo) == 120);
  CHECK(steps("passes", 30720, 1, step_cost({}, run_of({"objective.loss=sft", "objective.reference=none"}))) == 320);  // 8/3 as many
  CHECK(steps("seconds", 60, 1, dpo) == 120);
  CHECK(steps("passes", 1, 1, dpo) == 1);
  Method twice;
  twice.passes = 16;  // says what cannot be counted
  CHECK(steps("passes", 30720, 1, step_cost(twice, run_of({"objective.loss=dpo"}))) == 60);
  CHECK_THROWS_AS(steps("seconds", 60, 1, step_cost({}, run_of({"objective.loss=dpo"}))), UsageError);
}
