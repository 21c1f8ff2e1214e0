#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/eval/win_rate.h"

using namespace palate;

TEST_CASE("win rate: ties count half, and small differences are ties") {
  // Gains +1, +0.05, -0.05, -1 with a margin of 0.1: one win, two ties, one loss: 1/4 + (1/2)(2/4) = 1/2.
  const WinRate rate = win_rate({{1}, {0.05}, {-0.05}, {-1}}, 0.1, 0);
  CHECK(rate.win == doctest::Approx(0.25));
  CHECK(rate.tie == doctest::Approx(0.5));
  CHECK(rate.lose == doctest::Approx(0.25));
  CHECK(rate.rate.mean == doctest::Approx(0.5));
  CHECK(rate.n == 4);
}

TEST_CASE("win rate: a prompt weighs one, however many pictures it has") {
  // Prompt one wins its only picture, prompt two loses all of its three: 1/2, not 1/4.
  CHECK(win_rate({{1}, {-1, -1, -1}}, 0.1, 0).rate.mean == doctest::Approx(0.5));
}

TEST_CASE("win rate: the interval is that of a binomial when each prompt has one picture") {
  // 400 prompts, 300 wins: standard error sqrt(.75 * .25 / 400) = 0.02165, so the 95% interval is .75 -+ .0424.
  std::vector<std::vector<double>> gains;
  for (int i = 0; i < 400; ++i) gains.push_back({i < 300 ? 1.0 : -1.0});
  const WinRate rate = win_rate(gains, 0.1, 3);
  CHECK(std::abs(rate.rate.low - (0.75 - 0.0424)) < 0.004);
  CHECK(std::abs(rate.rate.high - (0.75 + 0.0424)) < 0.004);
}

TEST_CASE("mean gain: the interval covers the truth about 95 times in 100") {
  // 200 sets of 60 draws from a normal with mean 0.3: the share of intervals that hold 0.3 has a standard error of
  // sqrt(.95 * .05 / 200) = 0.0154; the percentile bootstrap is slightly short at n = 60 (about 0.94).
  int covered = 0;
  for (uint64_t s = 0; s < 200; ++s) {
    Generator g({s, 0, 0, Purpose::test});
    std::vector<std::vector<double>> gains;
    for (int i = 0; i < 60; ++i) gains.push_back({0.3 + g.normal()});
    const Interval interval = mean_gain(gains, s);
    covered += interval.low <= 0.3 && 0.3 <= interval.high;
  }
  CHECK(covered >= 178);
  CHECK(covered <= 199);
}

TEST_CASE("win rate: nothing to compare and scores that are no numbers are refused") {
  CHECK_THROWS_AS(win_rate({}, 0.1, 0), DataError);
  CHECK_THROWS_AS(win_rate({{std::nan("")}}, 0.1, 0), DataError);
}
