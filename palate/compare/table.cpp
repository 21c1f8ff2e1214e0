#include "palate/compare/table.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/compare/result.h"
#include "palate/compare/two_way.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/hash.h"

namespace palate {
namespace {

const uint64_t table_seed = stable_hash("palate compare table");

// The finished, not diverged reported runs of a method, by seed.
using Reported = std::map<int64_t, Json>;

double average(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

double average_scored(const SeedsByPrompts& values) {
  double sum = 0, count = 0;
  for (const auto& row : values) {
    for (const double v : row) {
      if (!std::isnan(v)) sum += v, ++count;
    }
  }
  return count > 0 ? sum / count : std::nan("");
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(); }

SeedsByPrompts rows_of(const Reported& runs, const std::vector<int64_t>& seeds, const std::string& judge, const std::string& part = "") {
  SeedsByPrompts rows;
  for (const int64_t seed : seeds) rows.push_back(scores_of(runs.at(seed), judge, part));
  return rows;
}

std::vector<int64_t> seeds_of(const Reported& runs) {
  std::vector<int64_t> seeds;
  for (const auto& [seed, result] : runs) seeds.push_back(seed);
  return seeds;
}

Json interval_json(const SeedsByPrompts& values) {
  const SeedsByPrompts scored = where_scored(values);
  return scored.empty() || scored[0].empty() ? Json() : to_json(two_way_interval(scored, table_seed));
}

Json win_json(const SeedsByPrompts& base, const SeedsByPrompts& ours, double margin) {
  const SeedsByPrompts points = where_scored(win_points(base, ours, margin));
  Json json = interval_json(points);
  double win = 0, tie = 0, count = 0;
  for (const auto& row : points) {
    json["by_seed"].push_back(average(row));
    for (const double v : row) win += v == 1, tie += v == 0.5, ++count;
  }
  json["win"] = win / count;
  json["tie"] = tie / count;
  json["lose"] = (count - win - tie) / count;
  return json;
}

// Win rates of the states on the way, where the runs have some, and of the last one.
void add_curve_points(Json& json, const Reported& runs, const SeedsByPrompts& base, const Judge& judge) {
  const Json first = runs.begin()->second.value("curve", Json::array());
  const double margin = judge.tie_margin().value_or(0);
  for (size_t k = 0; k < first.size(); ++k) {
    SeedsByPrompts states;
    for (const auto& [seed, result] : runs) states.push_back(scores_of(result.at("curve").at(k), judge.name()));
    json["curve"].push_back({{"step", first[k].at("step")}, {"win_rate", interval_json(win_points(base, states, margin))}});
  }
  if (first.empty()) return;
  const SeedsByPrompts last = win_points(base, rows_of(runs, seeds_of(runs), judge.name()), margin);
  json["curve"].push_back({{"step", runs.begin()->second.at("steps")}, {"win_rate", interval_json(last)}});
}

Json judged(const Json& base, const Reported& runs, const Judge& judge) {
  const auto seeds = seeds_of(runs);
  const auto against = [&](const std::string& part) { return SeedsByPrompts(seeds.size(), scores_of(base, judge.name(), part)); };
  const SeedsByPrompts ours = rows_of(runs, seeds, judge.name()), theirs = against("");
  Json json = {{"win_rate", win_json(theirs, ours, judge.tie_margin().value_or(0))},
               {"reward", finite(average_scored(ours))},
               {"gain", interval_json(differences(theirs, ours))},
               {"parts", Json::object()},
               {"part_gain", Json::object()}};
  for (const auto& [part, unused] : base.at("scores").at(judge.name()).at("parts").items()) {
    const SeedsByPrompts values = rows_of(runs, seeds, judge.name(), part);
    json["parts"][part] = finite(average_scored(values));
    json["part_gain"][part] = interval_json(differences(against(part), values));
  }
  add_curve_points(json, runs, theirs, judge);
  return json;
}

Json spread_json(const std::vector<double>& values) {
  if (values.empty()) return {};
  const double mean = average(values);
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  const auto n = static_cast<double>(values.size());
  return {{"mean", mean}, {"deviation", n > 1 ? Json(std::sqrt(squares / (n - 1))) : Json()}, {"by_seed", values}};
}

std::vector<double> numbers(const Reported& runs, const std::string& pointer) {
  std::vector<double> values;
  for (const auto& [seed, result] : runs) {
    const auto at = Json::json_pointer(pointer);
    if (result.contains(at) && result.at(at).is_number()) values.push_back(result.at(at));
  }
  return values;
}

// What each trial came to, and how long all of them took.
void add_trials(Json& row, const CompareConfig& config, const PlannedMethod& planned, const Judge& judge) {
  const Places places{config.output};
  const auto base = read_result(places.base("development"));
  double seconds = 0;
  row["trials"] = Json::array();
  for (size_t k = 0; k < planned.points.size(); ++k) {
    const auto result = read_result(places.trial(*planned.method, k));
    if (!result || !base) continue;
    Json trial = {{"rate", result->at("rate")}, {"beta", result->at("beta")}};
    if (result->contains("failed")) {
      trial["failed"] = result->at("failed");
    } else {
      const SeedsByPrompts theirs = {scores_of(*base, judge.name())}, ours = {scores_of(*result, judge.name())};
      trial["win_rate"] = average_scored(win_points(theirs, ours, judge.tie_margin().value_or(0)));
      trial["gain"] = average_scored(differences(theirs, ours));
    }
    seconds += result->at("wall_seconds").get<double>();
    row["trials"].push_back(trial);
  }
  row["cost"]["tuning_seconds"] = seconds;
}

std::string status_of(const Json& row, const CompareConfig& config, const PlannedMethod& planned, bool hopeless) {
  const size_t seeds = row.at("seeds").size(), failed = row.at("failed_seeds").size(), trials = row.at("trials").size();
  if (hopeless) return "every trial diverged";
  if (seeds + failed == config.seeds.size())
    return failed == 0 ? "whole" : concat(failed, " of ", seeds + failed, seeds + failed == 1 ? " seed" : " seeds", " diverged");
  if (seeds + failed > 0) return concat(seeds + failed, " of ", config.seeds.size(), " seeds are run");
  return trials < planned.points.size() ? concat(trials, " of ", planned.points.size(), " trials are run") : "no seed is run";
}

Json method_row(const CompareConfig& config, const CompareRunner& runner, size_t m, const Json& base, Reported& runs) {
  const PlannedMethod& planned = runner.plan()[m];
  const Judges& judges = runner.examiner().judges();
  Json row = {{"name", planned.method->name}, {"status", ""}, {"seeds", Json::array()}, {"failed_seeds", Json::array()}};
  for (const int64_t seed : config.seeds) {
    const Unit unit{m, false, seed};
    const auto result = runner.done(unit) ? read_result(runner.folder(unit)) : std::nullopt;
    if (!result) continue;
    for (const char* key : {"rate", "beta", "steps", "pairs", "passes"}) row[key] = result->at(key);
    if (result->contains("failed")) {
      row["failed_seeds"].push_back({{"seed", seed}, {"reason", result->at("failed")}});
    } else {
      row["seeds"].push_back(seed);
      runs[seed] = *result;
    }
  }
  row["beta_key"] = planned.beta_key;
  row["share"] = planned.method->share;
  row["passes_per_pair"] = planned.cost.passes / planned.cost.pairs;
  add_trials(row, config, planned, *judges[0]);
  const bool all_tried = row["trials"].size() == planned.points.size() && !planned.points.empty();
  row["status"] = status_of(row, config, planned, all_tried && best_trial(config, planned, *judges[0]) < 0);
  if (runs.empty()) return row;
  for (const auto& judge : judges) row["judges"][judge->name()] = judged(base, runs, *judge);
  row["drift"] = spread_json(numbers(runs, "/drift"));
  const auto peaks = numbers(runs, "/training/peak_bytes");
  row["cost"]["seconds"] = average(numbers(runs, "/training/seconds"));
  const auto processor = numbers(runs, "/training/processor_seconds");
  row["cost"]["processor_seconds"] = processor.empty() ? Json() : Json(average(processor));
  row["cost"]["evaluation_seconds"] = average(numbers(runs, "/evaluation_seconds"));
  row["cost"]["peak_bytes"] = *std::max_element(peaks.begin(), peaks.end());
  return row;
}

Json pairwise(const std::vector<Reported>& runs, const std::vector<PlannedMethod>& plan, const Judge& judge) {
  Json all = Json::object();
  for (size_t a = 0; a < runs.size(); ++a) {
    for (size_t b = 0; b < runs.size(); ++b) {
      std::vector<int64_t> both;
      for (const auto& [seed, result] : runs[a]) {
        if (a != b && runs[b].contains(seed)) both.push_back(seed);
      }
      if (both.empty()) continue;
      const SeedsByPrompts ours = rows_of(runs[a], both, judge.name()), theirs = rows_of(runs[b], both, judge.name());
      all[plan[a].method->name][plan[b].method->name] = interval_json(win_points(theirs, ours, judge.tie_margin().value_or(0)));
    }
  }
  return all;
}

std::string caution_of(const CompareConfig& config) {
  if (std::find(config.judges.begin(), config.judges.end(), "oracle") == config.judges.end()) return "";
  return std::string("The judge \"oracle\" is the embedded world's own") +
         (config.data.sampled()
              ? ", which also made the labels: this shows which training follows the labels best, not what people would prefer."
              : ": it says what the world's rules say, not what people would prefer.");
}

}  // namespace

Json compare_table(const CompareConfig& config, const CompareRunner& runner) {
  const auto base = read_result(Places{config.output}.base("test"));
  check<DataError>(base.has_value(), config.output, ": nothing was measured yet: run palate compare without --report first");
  const Judges& judges = runner.examiner().judges();
  Json table = {
      {"base", config.base},
      {"seeds", config.seeds},
      {"judges", Json::array()},
      {"caution", caution_of(config)},
      {"compute", {{"equal", config.compute.equal}, {"amount", config.compute.amount}}},
      {"tune",
       {{"trials", config.tune.trials}, {"prompts", config.tune.prompts}, {"rates", config.tune.rates}, {"betas", config.tune.betas}}},
      {"test", {{"prompts", config.test.prompts}, {"drift_draws", config.test.drift_draws}}},
      {"sampling",
       {{"steps", config.sampling.steps}, {"guidance_scale", config.sampling.guidance_scale}, {"sampler", config.sampling.sampler}}}};
  for (const auto& judge : judges) {
    table["judges"].push_back(to_json(*judge));
    Json& means = table["base_scores"][judge->name()];
    means["reward"] = finite(average_scored({scores_of(*base, judge->name())}));
    for (const auto& [part, unused] : base->at("scores").at(judge->name()).at("parts").items())
      means["parts"][part] = finite(average_scored({scores_of(*base, judge->name(), part)}));
  }
  std::vector<Reported> runs(runner.plan().size());
  table["methods"] = Json::array();
  for (size_t m = 0; m < runs.size(); ++m) table["methods"].push_back(method_row(config, runner, m, *base, runs[m]));
  for (const auto& judge : judges) table["pairwise"][judge->name()] = pairwise(runs, runner.plan(), *judge);
  return table;
}

}  // namespace palate
