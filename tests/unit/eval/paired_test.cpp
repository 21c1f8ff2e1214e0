// What a comparison says of given scores, worked out by hand.
#include "palate/eval/paired.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"

using namespace palate;

namespace {

Tensor scores(const std::vector<double>& values) { return torch::tensor(values, torch::kFloat64); }

Scores judged(const std::vector<double>& total, const std::vector<double>& colour) { return {scores(total), {{"colour", scores(colour)}}}; }

}  // namespace

TEST_CASE("paired: wins are ours, a prompt weighs one, and a score that is missing leaves its picture out") {
  // Gains of prompt a: 1, 0.5 (two wins); b: -1, 0.05 (a loss and, within the margin of 0.1, a tie); c: 0.2, NaN (one win).
  //   a: 1, b: (0 + 1/2) / 2 = 1/4, c: 1; their mean is 3/4. Gains: 0.75, -0.475 and 0.2, mean 0.475 / 3.
  const auto prompts = prompts_of(paired_requests({"a", "b", "c"}, 2));
  const double none = std::nan("");
  const Comparison result = compare(judged({0, 1, 2, 1, 0.1, 0.7}, {1, none, none, none, 0, 0}),
                                    judged({1, 1.5, 1, 1.05, 0.3, none}, {0.5, none, none, none, 1, none}), prompts, 0.1, 0);
  CHECK(result.win_rate.rate.mean == doctest::Approx(0.75));
  CHECK(result.win_rate.win == doctest::Approx(2.0 / 3));
  CHECK(result.win_rate.tie == doctest::Approx(1.0 / 6));
  CHECK(result.win_rate.lose == doctest::Approx(1.0 / 6));
  CHECK(result.win_rate.n == 3);
  CHECK(result.gain.mean == doctest::Approx(0.475 / 3));
  CHECK(result.part_gain.at("colour").mean == doctest::Approx((-0.5 + 1) / 2));  // b is not asked for its colour
  CHECK(result.gains[2] == -1);
  CHECK(std::isnan(result.gains[5]));
}

TEST_CASE("paired: a part that no picture has is left out, and means pass over what is missing") {
  const std::vector<std::string> prompts = {"a", "b"};
  const double none = std::nan("");
  const Scores base = judged({1, 2}, {none, none}), ours = judged({2, none}, {none, none});
  CHECK(compare(base, ours, prompts, 0.1, 0).part_gain.empty());
  CHECK(mean_scores(ours)["total"] == 2);
  CHECK(mean_scores(base)["total"] == 1.5);
  CHECK_THROWS_AS(compare(base, judged({1}, {1}), prompts, 0.1, 0), Error);
}

TEST_CASE("paired: without a margin only equal scores are ties") {
  const Scores base = judged({1, 1, 1}, {0, 0, 0}), ours = judged({1, 1.01, 0.5}, {0, 0, 0});
  const WinRate rate = compare(base, ours, {"a", "b", "c"}, 0, 0).win_rate;
  CHECK(rate.tie == doctest::Approx(1.0 / 3));
  CHECK(rate.win == doctest::Approx(1.0 / 3));
}

TEST_CASE("paired: noise belongs to prompt and repeat, wherever the prompt stands") {
  const auto requests = paired_requests({"a", "b"}, 3), turned = paired_requests({"b", "a"}, 3);
  REQUIRE(requests.size() == 6);
  std::set<uint64_t> ids;
  for (size_t i = 0; i < 6; ++i) {
    const auto& same = turned[(i + 3) % 6];
    CHECK(requests[i].prompt == same.prompt);
    CHECK(requests[i].id == same.id);
    ids.insert(requests[i].id);
  }
  CHECK(ids.size() == 6);
}
