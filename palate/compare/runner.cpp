#include "palate/compare/runner.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/compare/result.h"
#include "palate/compare/two_way.h"
#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

double mean_value(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace

CompareRunner::CompareRunner(const CompareConfig& config)
    : config_(config), places_{config.output}, plan_(plan_methods(config)), prompts_(config), examiner_(config, prompts_) {
  for (PlannedMethod& planned : plan_) {
    const auto cost = read_result(places_.root / planned.method->name / "cost");
    if (config.compute.equal != "seconds" || !cost) continue;
    planned.cost.seconds = cost->at("seconds_per_step");
    planned.steps = equal_steps(config.compute, planned.method->share, planned.cost);
  }
}

std::vector<Unit> CompareRunner::units(const std::string& only) const {
  std::vector<std::string> names;
  for (const auto& planned : plan_) names.push_back(planned.method->name);
  check<UsageError>(only.empty() || std::find(names.begin(), names.end(), only) != names.end(), "--only: there is no method '", only, "'",
                    did_you_mean(only, names), "; it is one of ", one_of(names));
  std::vector<Unit> all;
  const auto wanted = [&](size_t m) { return only.empty() || names[m] == only; };
  for (size_t m = 0; m < plan_.size(); ++m) {
    for (size_t k = 0; wanted(m) && k < plan_[m].points.size(); ++k) all.push_back({m, true, static_cast<int64_t>(k)});
  }
  for (const int64_t seed : config_.seeds) {
    for (size_t m = 0; m < plan_.size(); ++m) {
      if (wanted(m)) all.push_back({m, false, seed});
    }
  }
  return all;
}

std::string CompareRunner::name(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  if (!unit.trial) return concat(planned.method->name, ", seed ", unit.number);
  return concat(planned.method->name, ", trial ", unit.number + 1, " of ", planned.points.size());
}

fs::path CompareRunner::folder(const Unit& unit) const {
  const Method& method = *plan_[unit.method].method;
  return unit.trial ? places_.trial(method, static_cast<size_t>(unit.number)) : places_.seed(method, unit.number);
}

bool CompareRunner::ready(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  if (unit.trial) return true;
  for (size_t k = 0; k < planned.points.size(); ++k) {
    if (!fs::exists(places_.trial(*planned.method, k) / "result.json")) return false;
  }
  return true;
}

bool CompareRunner::done(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  if (!unit.trial && ready(unit) && !planned.points.empty() && best_trial(config_, planned, *examiner_.judges()[0]) < 0) return true;
  if (!fs::exists(folder(unit) / "result.json")) return false;
  return read_result(folder(unit), settings_of(unit)).has_value();
}

Point CompareRunner::point_of(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  if (planned.points.empty()) return Point::unset();
  const int64_t best = unit.trial ? unit.number : best_trial(config_, planned, *examiner_.judges()[0]);
  return planned.points.at(static_cast<size_t>(best));
}

RunConfig CompareRunner::config_of(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  RunConfig run = run_config(config_, planned, point_of(unit), seed_of(unit), planned.steps, folder(unit));
  if (!unit.trial && config_.test.curve > 0) {
    run.train.checkpoint_every = std::max<int64_t>(1, planned.steps / config_.test.curve);
    run.train.keep_checkpoints = 0;
  }
  return run;
}

std::string CompareRunner::settings_of(const Unit& unit) const {
  return examiner_.settings(set_of(unit)) + run_settings(config_, config_of(unit), seed_of(unit));
}

// Passes of a picture through the network, a backward one as two.
double CompareRunner::passes(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  const auto pictures = static_cast<double>(prompts_.of(set_of(unit)).size());
  const double drawing = pictures * static_cast<double>(config_.sampling.steps) * (config_.sampling.guidance_scale > 1 ? 2 : 1);
  return drawing + planned.cost.passes * static_cast<double>(planned.steps);
}

double CompareRunner::forecast(const std::vector<Unit>& wanted) {
  std::map<std::pair<size_t, bool>, std::vector<double>> known;
  double seconds = 0, passed = 0;
  for (const Unit& unit : units()) {
    const auto result = read_result(folder(unit));
    if (!result || result->contains("failed")) continue;
    known[{unit.method, unit.trial}].push_back(result->at("wall_seconds"));
    seconds += known[{unit.method, unit.trial}].back();
    passed += passes(unit);
  }
  if (passed <= 0 && pass_seconds_ <= 0) pass_seconds_ = examiner_.seconds_per_pass();
  const double rate = passed > 0 ? seconds / passed : pass_seconds_;
  double sum = 0;
  for (const Unit& unit : wanted) {
    const auto found = known.find({unit.method, unit.trial});
    const bool unmeasured = plan_[unit.method].steps == 0;  // equal seconds, not yet counted in steps
    sum += found != known.end() ? mean_value(found->second) : passes(unit) * rate + (unmeasured ? config_.compute.amount : 0);
  }
  return sum;
}

std::string CompareRunner::show_point(const Unit& unit) const {
  const PlannedMethod& planned = plan_[unit.method];
  const RunConfig run = config_of(unit);
  return concat(planned.steps, " steps, rate ", run.optimizer.lr, planned.beta_key.empty() ? "" : ", beta ",
                planned.beta_key.empty() ? "" : concat(number_at(run, planned.beta_key)));
}

int64_t best_trial(const CompareConfig& config, const PlannedMethod& planned, const Judge& judge) {
  const Places places{config.output};
  const auto base = read_result(places.base("development"));
  check<UsageError>(base.has_value(), places.base("development").string(), ": the base was not drawn yet");
  int64_t best = -1;
  std::pair<double, double> best_value;
  for (size_t k = 0; k < planned.points.size(); ++k) {
    const auto result = read_result(places.trial(*planned.method, k));
    check<UsageError>(result.has_value(), places.trial(*planned.method, k).string(), ": this trial was not run yet");
    if (result->contains("failed")) continue;
    const SeedsByPrompts theirs = {scores_of(*base, judge.name())}, ours = {scores_of(*result, judge.name())};
    const std::pair value{mean_value(where_scored(win_points(theirs, ours, judge.tie_margin().value_or(0)))[0]),
                          mean_value(where_scored(differences(theirs, ours))[0])};
    if (best < 0 || value > best_value) {
      best = static_cast<int64_t>(k);
      best_value = value;
    }
  }
  return best;
}

}  // namespace palate
