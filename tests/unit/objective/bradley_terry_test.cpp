#include "palate/objective/bradley_terry.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

using namespace palate;

namespace {

Tensor row(const std::vector<double>& values) { return torch::tensor(values, torch::kFloat64); }

double loss_of(const BradleyTerryConfig& config, double first, double second, double label) {
  return bradley_terry(config, row({first}), row({second}), row({label})).item<double>();
}

}  // namespace

TEST_CASE("bradley-terry: by hand") {
  const BradleyTerryConfig half;
  // s = log 3 and 0: the first is preferred by 3 to 1.
  const double gap = std::log(3.0);
  CHECK(loss_of(half, gap, 0, 1) == doctest::Approx(std::log(4.0 / 3)));
  CHECK(loss_of(half, 0, gap, 1) == doctest::Approx(std::log(4.0)));
  CHECK(loss_of(half, gap, 0, 0) == doctest::Approx(std::log(4.0)));
  // A tie is half of either, a confidence of 0.75 three quarters of a win: at the odds that the scores give it costs least.
  CHECK(loss_of(half, gap, 0, 0.5) == doctest::Approx((std::log(4.0 / 3) + std::log(4.0)) / 2));
  CHECK(loss_of(half, gap, 0, 0.75) == doctest::Approx(0.75 * std::log(4.0 / 3) + 0.25 * std::log(4.0)));
  CHECK(loss_of(half, gap, 0, 0.75) < loss_of(half, gap + 0.1, 0, 0.75));
  CHECK(loss_of(half, gap, 0, 0.75) < loss_of(half, gap - 0.1, 0, 0.75));
  // Only the difference counts, and nothing overflows.
  CHECK(loss_of(half, gap + 40, 40, 1) == doctest::Approx(std::log(4.0 / 3)));
  CHECK(loss_of(half, -1000, 1000, 1) == doctest::Approx(2000));
  // One label in ten taken to be wrong.
  CHECK(loss_of({.label_smoothing = 0.1}, gap, 0, 1) == doctest::Approx(0.9 * std::log(4.0 / 3) + 0.1 * std::log(4.0)));
  CHECK(loss_of({.label_smoothing = 0.1}, gap, 0, 0.5) == doctest::Approx(loss_of(half, gap, 0, 0.5)));
}

TEST_CASE("bradley-terry: Rao and Kupper's ties by hand") {
  const BradleyTerryConfig config{.ties = "rao-kupper", .theta = 5};
  // Equal scores, theta 5: each wins with 1/6, and 24 / 36 tie. Scores log 10 apart: 10/15, 1/51 and 24 * 10 / (15 * 51).
  CHECK(loss_of(config, 2, 2, 1) == doctest::Approx(std::log(6.0)));
  CHECK(loss_of(config, 2, 2, 0.5) == doctest::Approx(std::log(36.0 / 24)));
  const double gap = std::log(10.0);
  CHECK(loss_of(config, gap, 0, 1) == doctest::Approx(std::log(1.5)));
  CHECK(loss_of(config, gap, 0, 0) == doctest::Approx(std::log(51.0)));
  CHECK(loss_of(config, gap, 0, 0.5) == doctest::Approx(std::log(765.0 / 240)));
  // Whatever the scores, the three outcomes are 1 together.
  for (const double d : {-7.0, -0.4, 0.0, 1.3, 12.0}) {
    double sum = 0;
    for (const double label : {0.0, 0.5, 1.0}) sum += std::exp(-loss_of(config, d, 0, label));
    CHECK(sum == doctest::Approx(1));
  }
  // A confidence of 0.8 is 0.6 of a win and 0.4 of a tie; smoothing leaves ties alone.
  CHECK(loss_of(config, gap, 0, 0.8) == doctest::Approx(0.6 * std::log(1.5) + 0.4 * std::log(765.0 / 240)));
  const BradleyTerryConfig smooth{.ties = "rao-kupper", .theta = 5, .label_smoothing = 0.25};
  CHECK(loss_of(smooth, gap, 0, 1) == doctest::Approx(0.75 * std::log(1.5) + 0.25 * std::log(51.0)));
  CHECK(loss_of(smooth, gap, 0, 0.5) == doctest::Approx(loss_of(config, gap, 0, 0.5)));
}

TEST_CASE("bradley-terry: gradients are those of finite differences") {
  for (const auto& config : {BradleyTerryConfig{},
                             {.label_smoothing = 0.2},
                             {.ties = "rao-kupper"},
                             {.ties = "rao-kupper", .theta = 1.5, .label_smoothing = 0.1}}) {
    CAPTURE(config.ties);
    const Tensor first = row({0.3, -1.2, 2.0, 0.1}).requires_grad_(), second = row({0.1, 0.4, -0.5, 0.1}).requires_grad_();
    const Tensor label = row({1, 0.5, 0.8, 0});
    bradley_terry(config, first, second, label).sum().backward();
    const torch::NoGradGuard no_grad;
    const double h = 1e-5;
    for (const Tensor& scores : {first, second}) {
      const auto at = [&](double step) {
        const Tensor moved = scores + step;
        return scores.is_same(first) ? bradley_terry(config, moved, second, label) : bradley_terry(config, first, moved, label);
      };
      CHECK(((at(h) - at(-h)) / (2 * h) - scores.grad()).abs().max().item<double>() < 1e-8);
    }
  }
}
