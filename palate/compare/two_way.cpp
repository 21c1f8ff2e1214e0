#include "palate/compare/two_way.h"

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/core/generator.h"

namespace palate {
namespace {

constexpr int two_way_resamples = 4000;

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

// The mean of as many of them, drawn with replacement.
double resampled_mean(const std::vector<double>& values, Generator& generator) {
  const auto n = static_cast<int64_t>(values.size());
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += values[static_cast<size_t>(generator.below(n))];
  return sum / static_cast<double>(n);
}

void check_table(const SeedsByPrompts& values) {
  check<DataError>(!values.empty() && !values[0].empty(), "[interval] expected seeds and prompts, found ", values.size(), " seeds and ",
                   values.empty() ? 0 : values[0].size(), " prompts");
  for (const auto& row : values) {
    check<DataError>(row.size() == values[0].size(), "[interval] expected ", values[0].size(), " prompts of each seed, found ", row.size());
    for (const double v : row) check<DataError>(std::isfinite(v), "[interval] a value is not a finite number");
  }
}

template <class Combine>
SeedsByPrompts combined(const SeedsByPrompts& base, const SeedsByPrompts& ours, Combine combine) {
  check(base.size() == ours.size(), "[comparison] expected as many seeds on both sides, found ", base.size(), " and ", ours.size());
  SeedsByPrompts values(ours);
  for (size_t s = 0; s < ours.size(); ++s) {
    check(base[s].size() == ours[s].size(), "[comparison] expected the same prompts on both sides, found ", base[s].size(), " and ",
          ours[s].size());
    for (size_t p = 0; p < ours[s].size(); ++p) values[s][p] = combine(ours[s][p] - base[s][p]);
  }
  return values;
}

}  // namespace

Interval two_way_interval(const SeedsByPrompts& values, uint64_t seed) {
  check_table(values);
  const size_t seeds = values.size(), prompts = values[0].size();
  std::vector<double> by_seed, by_prompt(prompts, 0);
  for (const auto& row : values) {
    by_seed.push_back(mean_of(row));
    for (size_t p = 0; p < prompts; ++p) by_prompt[p] += row[p] / static_cast<double>(seeds);
  }
  const double mean = mean_of(by_seed), n = static_cast<double>(seeds);
  const double widened = seeds > 1 ? std::sqrt(n / (n - 1)) : 0;
  for (double& m : by_seed) m = widened * (m - mean);
  for (double& m : by_prompt) m -= mean;
  std::vector<double> means(two_way_resamples);
  Generator generator({seed, 0, 0, Purpose::bootstrap});
  for (double& m : means) {
    m = mean + resampled_mean(by_prompt, generator);
    if (seeds > 1) m += resampled_mean(by_seed, generator);
  }
  std::sort(means.begin(), means.end());
  const auto quantile = [&](double q) { return means[static_cast<size_t>(std::lround(q * (two_way_resamples - 1)))]; };
  return {mean, quantile(0.025), quantile(0.975)};
}

SeedsByPrompts win_points(const SeedsByPrompts& base, const SeedsByPrompts& ours, double margin) {
  return combined(base, ours, [&](double gain) { return std::isnan(gain) ? gain : gain > margin ? 1.0 : gain < -margin ? 0.0 : 0.5; });
}

SeedsByPrompts differences(const SeedsByPrompts& base, const SeedsByPrompts& ours) {
  return combined(base, ours, [](double gain) { return gain; });
}

SeedsByPrompts where_scored(const SeedsByPrompts& values) {
  SeedsByPrompts kept(values.size());
  for (size_t p = 0; !values.empty() && p < values[0].size(); ++p) {
    if (std::any_of(values.begin(), values.end(), [&](const auto& row) { return std::isnan(row[p]); })) continue;
    for (size_t s = 0; s < values.size(); ++s) kept[s].push_back(values[s][p]);
  }
  return kept;
}

}  // namespace palate
