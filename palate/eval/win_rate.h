// Win rates and mean gains with intervals. Prompts are what is sampled, so prompts are what the bootstrap resamples:
// several pictures of one prompt are not several independent observations.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/io/json.h"

namespace palate {

struct Interval {
  double mean = 0, low = 0, high = 0;  // 95% percentile bootstrap
};

struct WinRate {
  double win = 0, tie = 0, lose = 0;  // shares of the comparisons; they add up to 1
  Interval rate;                      // win + tie / 2
  int64_t n = 0;                      // distinct prompts
};

// gains[p]: score(ours) - score(base) of each picture of prompt p. |gain| <= tie_margin is a tie. Each prompt weighs the
// same. DataError when there is no prompt, or a gain is not finite.
WinRate win_rate(const std::vector<std::vector<double>>& gains, double tie_margin, uint64_t seed);
Interval mean_gain(const std::vector<std::vector<double>>& gains, uint64_t seed);

// {"win":..,"tie":..,"lose":..,"rate":..,"low":..,"high":..,"n":..}
Json to_json(const WinRate& rate);
Json to_json(const Interval& interval);

}  // namespace palate
