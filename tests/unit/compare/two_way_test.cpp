#include <doctest/doctest.h>

#include <cmath>

#include "palate/compare/two_way.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"

using namespace palate;

namespace {

// The share of intervals that hold the true mean 0, of values seed + prompt + rest, each normal.
double coverage(int seeds, int prompts, double seed_deviation, double prompt_deviation, double rest, int tables) {
  int covered = 0;
  for (int k = 0; k < tables; ++k) {
    Generator g({static_cast<uint64_t>(k), 7, 0, Purpose::test});
    SeedsByPrompts values(static_cast<size_t>(seeds), std::vector<double>(static_cast<size_t>(prompts)));
    std::vector<double> of_prompt(static_cast<size_t>(prompts));
    for (double& v : of_prompt) v = prompt_deviation * g.normal();
    for (auto& row : values) {
      const double of_seed = seed_deviation * g.normal();
      for (size_t p = 0; p < row.size(); ++p) row[p] = of_seed + of_prompt[p] + rest * g.normal();
    }
    const Interval interval = two_way_interval(values, static_cast<uint64_t>(k));
    covered += interval.low <= 0 && 0 <= interval.high;
  }
  return static_cast<double>(covered) / tables;
}

}  // namespace

TEST_CASE("two-way interval: two seeds and two prompts, worked out by hand") {
  // Rows 1, 0 and 1, 1: seeds' means 1/2 and 1, prompts' means 1 and 1/2, mean 3/4. Deviations -+1/4 each; the seeds' times sqrt(2/1).
  // Resampled means of two are -1, 0, 0, +1 times the deviation: m* is 3/4 + a sqrt(2)/4 + b/4 with a, b in {-1, 0, 1} at 1/4, 1/2, 1/4.
  // The extremes a = b = -+1 have 1/16 each, more than 2.5%: the interval is 3/4 -+ (sqrt(2) + 1)/4.
  const Interval interval = two_way_interval({{1, 0}, {1, 1}}, 5);
  CHECK(interval.mean == doctest::Approx(0.75));
  CHECK(interval.low == doctest::Approx(0.75 - (std::sqrt(2.0) + 1) / 4).epsilon(1e-12));
  CHECK(interval.high == doctest::Approx(0.75 + (std::sqrt(2.0) + 1) / 4).epsilon(1e-12));
}

TEST_CASE("two-way interval: seeds that agree add nothing, and one seed is prompts alone") {
  // With equal rows the seeds' deviations are 0, which leaves the bootstrap of prompts, that of win_rate: 100 prompts, 60 won.
  std::vector<double> row;
  std::vector<std::vector<double>> gains;
  for (int p = 0; p < 100; ++p) {
    row.push_back(p < 60 ? 1 : 0);
    gains.push_back({p < 60 ? 1.0 : -1.0});
  }
  const Interval one = two_way_interval({row}, 3), prompts = win_rate(gains, 0, 3).rate, three = two_way_interval({row, row, row}, 3);
  CHECK(one.mean == doctest::Approx(0.6));
  CHECK(one.low == doctest::Approx(prompts.low).epsilon(1e-12));
  CHECK(one.high == doctest::Approx(prompts.high).epsilon(1e-12));
  // 0.6 -+ 1.96 sqrt(.6 .4 / 100) = -+ 0.096
  CHECK(std::abs(three.low - (0.6 - 0.096)) < 0.012);
  CHECK(std::abs(three.high - (0.6 + 0.096)) < 0.012);
}

TEST_CASE("two-way interval: prompts that agree leave the seeds") {
  // Three seeds with means 0, 1, 2: deviations -+1 and 0, times sqrt(3/2). The mean of three resampled is -1 (all the lowest) with 1/27 =
  // 3.7%, more than 2.5%: the interval is 1 -+ sqrt(3/2). Student's would be 1 -+ 4.30 / sqrt(3) = 2.48: three seeds say little of their
  // spread.
  const Interval interval = two_way_interval({{0, 0}, {1, 1}, {2, 2}}, 1);
  CHECK(interval.low == doctest::Approx(1 - std::sqrt(1.5)).epsilon(1e-12));
  CHECK(interval.high == doctest::Approx(1 + std::sqrt(1.5)).epsilon(1e-12));
}

TEST_CASE("two-way interval: coverage in 200 simulated comparisons") {
  // The standard error of a share near .95 of 200 is .0154. An independent simulation in numpy (600 tables each) gave .978 for three seeds
  // with small differences, .828 where seeds differ more than prompts do, .893 for five such seeds.
  CHECK(coverage(3, 60, 0.05, 0.3, 1, 200) >= 0.94);
  CHECK(coverage(5, 60, 0.1, 0.3, 0.5, 200) >= 0.91);
  const double few = coverage(3, 60, 0.5, 0.3, 0.3, 200);
  CHECK(few > 0.74);
  CHECK(few < 0.91);
}

TEST_CASE("two-way interval: what cannot be averaged is refused") {
  CHECK_THROWS_AS(two_way_interval({}, 0), DataError);
  CHECK_THROWS_AS(two_way_interval({{}}, 0), DataError);
  CHECK_THROWS_AS(two_way_interval({{1, 2}, {1}}, 0), DataError);
  CHECK_THROWS_AS(two_way_interval({{1, std::nan("")}}, 0), DataError);
}

TEST_CASE("win points: ties count half, and prompts without a score are left out in every seed") {
  const double none = std::nan("");
  const SeedsByPrompts points = win_points({{0, 0, 0, none}, {1, 1, 1, 1}}, {{1, 0.05, -1, 3}, {1, 1.2, none, 1}}, 0.1);
  CHECK(points[0][0] == 1);
  CHECK(points[0][1] == 0.5);
  CHECK(points[0][2] == 0);
  CHECK(std::isnan(points[0][3]));
  CHECK(points[1][1] == 1);
  const SeedsByPrompts scored = where_scored(points);  // prompts 0 and 1
  CHECK(scored == SeedsByPrompts{{1, 0.5}, {0.5, 1}});
  CHECK(differences({{1, 2}}, {{3, 1}}) == SeedsByPrompts{{2, -1}});
}
