// Does what a comparison is made of: data, base, trials, reported runs. Each is one folder with a result.json at its end, so that a
// comparison that was stopped anywhere goes on there, and several processes may share one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/compare/measure.h"
#include "palate/compare/plan.h"

namespace palate {

// A trial, or a reported run.
struct Unit {
  size_t method = 0;  // of the plan
  bool trial = false;
  int64_t number = 0;  // of the trial, or the seed
  bool operator==(const Unit&) const = default;
};

class CompareRunner {
 public:
  // Opens base and judges; whatever can be said to be wrong is said here (UsageError), before anything is made.
  explicit CompareRunner(const CompareConfig& config);

  const std::vector<PlannedMethod>& plan() const { return plan_; }
  const Examiner& examiner() const { return examiner_; }
  const ComparePrompts& prompts() const { return prompts_; }
  // Trials of all methods, then the seeds, each with all methods: so that a table of fewer seeds is whole early. `only`: of one method;
  // UsageError for a name that is none.
  std::vector<Unit> units(const std::string& only = "") const;
  std::string name(const Unit& unit) const;  // "dpo, trial 3 of 8"
  std::filesystem::path folder(const Unit& unit) const;
  // Its result is there, or cannot be because all trials of its method diverged. UsageError when it was made with other settings.
  bool done(const Unit& unit) const;
  std::string show_point(const Unit& unit) const;  // "240 steps, rate 0.001, beta 100"
  // Seconds that these will take: as others of their method took, else by the passes through the network.
  double forecast(const std::vector<Unit>& wanted);

  // Does what is missing of them. Ends early when interrupted. What another process works on is left to it and waited for. A run that
  // diverges is a result; one that fails otherwise is warned of and tried again by the next call. True: all are there.
  bool run(const std::vector<Unit>& all);

 private:
  // runner.cpp
  bool ready(const Unit& unit) const;  // a seed has to wait for its method's trials
  Point point_of(const Unit& unit) const;
  int64_t seed_of(const Unit& unit) const { return unit.trial ? config_.tuning_seed() : unit.number; }
  static PromptSet set_of(const Unit& unit) { return unit.trial ? PromptSet::development : PromptSet::test; }
  RunConfig config_of(const Unit& unit) const;
  std::string settings_of(const Unit& unit) const;
  double passes(const Unit& unit) const;
  // runner_work.cpp
  void examine_base(PromptSet set);
  void prepare(int64_t seed);
  void measure_cost(PlannedMethod& planned);
  Json train_unit(const Unit& unit, const RunConfig& run);
  void add_curve(const Unit& unit, const RunConfig& run, Json& result);
  void run_unit(const Unit& unit);
  bool attempt(const Unit& unit);  // false: another process has it, or it is not ready
  void work_off(std::vector<Unit>& left, bool& whole);

  const CompareConfig& config_;
  Places places_;
  std::vector<PlannedMethod> plan_;
  ComparePrompts prompts_;
  Examiner examiner_;
  double pass_seconds_ = 0;
};

// The trial that a method's reported runs take their rate and beta from: the highest win rate against base by the first judge on the
// development prompts, equal ones told apart by the mean gain. -1 when every trial has diverged. UsageError when one is not done.
int64_t best_trial(const CompareConfig& config, const PlannedMethod& planned, const Judge& judge);

}  // namespace palate
