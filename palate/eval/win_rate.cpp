#include "palate/eval/win_rate.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"

namespace palate {
namespace {

constexpr int resamples = 4000;

// Mean over prompts of `value`, with the 2.5% and 97.5% quantiles over resampled sets of prompts.
Interval bootstrap(const std::vector<double>& value, uint64_t seed) {
  const int64_t n = static_cast<int64_t>(value.size());
  double sum = 0;
  for (const double v : value) sum += v;
  std::vector<double> means(resamples);
  Generator generator({seed, 0, 0, Purpose::bootstrap});
  for (double& mean : means) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += value[static_cast<size_t>(generator.below(n))];
    mean = total / static_cast<double>(n);
  }
  std::sort(means.begin(), means.end());
  const auto quantile = [&](double q) { return means[static_cast<size_t>(std::lround(q * (resamples - 1)))]; };
  return {sum / static_cast<double>(n), quantile(0.025), quantile(0.975)};
}

template <class Value>
std::vector<double> per_prompt(const std::vector<std::vector<double>>& gains, Value value) {
  check<DataError>(!gains.empty(), "[win rate] there is no prompt to compare on");
  std::vector<double> means;
  for (const auto& prompt : gains) {
    check<DataError>(!prompt.empty(), "[win rate] prompt ", means.size(), " has no picture to compare");
    double sum = 0;
    for (const double gain : prompt) {
      check<DataError>(std::isfinite(gain), "[win rate] prompt ", means.size(), " has a score that is not a finite number");
      sum += value(gain);
    }
    means.push_back(sum / static_cast<double>(prompt.size()));
  }
  return means;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

}  // namespace

WinRate win_rate(const std::vector<std::vector<double>>& gains, double margin, uint64_t seed) {
  const auto wins = per_prompt(gains, [&](double g) { return g > margin ? 1.0 : 0.0; });
  const auto losses = per_prompt(gains, [&](double g) { return g < -margin ? 1.0 : 0.0; });
  const auto points = per_prompt(gains, [&](double g) { return g > margin ? 1.0 : g < -margin ? 0.0 : 0.5; });
  WinRate rate;
  rate.win = mean(wins);
  rate.lose = mean(losses);
  rate.tie = 1 - rate.win - rate.lose;
  rate.rate = bootstrap(points, seed);
  rate.n = static_cast<int64_t>(gains.size());
  return rate;
}

Interval mean_gain(const std::vector<std::vector<double>>& gains, uint64_t seed) {
  return bootstrap(per_prompt(gains, [](double g) { return g; }), seed);
}

Json to_json(const Interval& interval) { return {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}}; }

Json to_json(const WinRate& rate) {
  return {{"win", rate.win},      {"tie", rate.tie},        {"lose", rate.lose}, {"rate", rate.rate.mean},
          {"low", rate.rate.low}, {"high", rate.rate.high}, {"n", rate.n}};
}

}  // namespace palate
