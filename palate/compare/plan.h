// Which runs a comparison is made of, and with which settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/compare/compare_config.h"
#include "palate/compare/cost.h"
#include "palate/train/run_config.h"

namespace palate {

// What a trial tries. NaN: the method's own setting stays.
struct Point {
  double rate, beta;
  static Point unset();
};

// The points of every method's trials: `trials` rates at equal ratios from the lowest to the highest, the same for all methods, and beside
// the i-th rate the beta of rank g i mod trials among as many betas at equal ratios, where g is the number prime to `trials` that is
// nearest to its golden section: a Latin square, so that each rate and each beta is tried once and no part of the plane is left out. A
// method without a beta spends all trials on the rate. One trial: the geometric means.
std::vector<Point> tuning_points(const Tuning& tune, const std::vector<double>& betas, bool has_beta);

// One method with everything that the plan needs to know of it.
struct PlannedMethod {
  const Method* method = nullptr;
  std::string beta_key;       // "": none
  std::vector<Point> points;  // of the trials, in order; empty: not tuned
  StepCost cost;              // its seconds are 0 until they are measured
  int64_t steps = 0;          // of each run; 0: not known yet
};

// UsageError names the method and what is wrong with its settings.
std::vector<PlannedMethod> plan_methods(const CompareConfig& config);

// Where a comparison keeps what.
struct Places {
  std::filesystem::path root;
  // Pairs, and the cache of latents and text states. One for all seeds where the pairs are given.
  std::filesystem::path data(const CompareConfig& config, int64_t seed) const;
  std::filesystem::path base(const std::string& prompt_set) const { return root / "base" / prompt_set; }
  std::filesystem::path trial(const Method& method, size_t number) const;
  std::filesystem::path seed(const Method& method, int64_t seed) const;
};

// The training config of a run in FOLDER/run: the common config, the method's settings, the point, and what every run is given (model,
// data, steps, seed). UsageError names the method.
RunConfig run_config(const CompareConfig& config, const PlannedMethod& planned, const Point& point, int64_t seed, int64_t steps,
                     const std::filesystem::path& folder);

// The number at a dotted key of the config; NaN where there is none.
double number_at(RunConfig run, const std::string& key);

// Text of all that the result of such a run depends on, and of what it learns from; where it lies on disk is not part of it.
std::string data_settings(const CompareConfig& config, int64_t seed);
std::string run_settings(const CompareConfig& config, RunConfig run, int64_t seed);

}  // namespace palate
