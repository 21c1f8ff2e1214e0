// DMPO by hand: d_w = 0.30, d_l = 0.50, r_w = 0.32, r_l = 0.49, so m = 0.03 and, at beta = 100, z = 1.5 and p = sigmoid(1.5) = 0.817574.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/unit/objective/errors.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

LossOutput run_dmpo(std::vector<std::string> constants, const Errors& e) {
  constants.insert(constants.begin(), "loss=dmpo");
  return (*make_loss(objective(constants)))(e.statistics(), {});
}

// Of a coin that shows heads with p from one with q.
double kl(double p, double q) { return p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q)); }

}  // namespace

TEST_CASE("dmpo: the divergence of sigmoid(z) from 1 - alpha") {
  const auto out = run_dmpo({"beta=100"}, {});
  CHECK(value(out.logits) == doctest::Approx(1.5));
  // 0.817574 log(0.817574 / 0.99) + 0.182426 log(0.182426 / 0.01) = -0.156453 + 0.529719.
  CHECK(value(out.loss) == doctest::Approx(kl(sigmoid(1.5), 0.99)));
  CHECK(value(out.loss) == doctest::Approx(0.373266).epsilon(1e-5));
  CHECK(value(run_dmpo({"beta=100", "dmpo_alpha=0.2", "margin=0.5"}, {}).loss) == doctest::Approx(kl(sigmoid(1.0), 0.8)));
  CHECK(value(run_dmpo({"beta=100", "label_smoothing=0.1", "anchor=2"}, {}).loss) ==
        doctest::Approx(0.9 * kl(sigmoid(1.5), 0.99) + 0.1 * kl(sigmoid(-1.5), 0.99) + 0.60));
}

TEST_CASE("dmpo: it is 0, and flat, where the implied preference is the one that is aimed at") {
  // z = log(0.8 / 0.2) = 1.386294 at k = 46.2098, m = 0.03.
  Errors e;
  e.policy.requires_grad_(true);
  const auto out = run_dmpo({"beta_convention=diffusers", "beta=46.20981203732969", "dmpo_alpha=0.2"}, e);
  CHECK(std::abs(value(out.loss)) < 1e-12);
  out.loss.sum().backward();
  CHECK(e.policy.grad().abs().max().item<double>() < 1e-8);
}

TEST_CASE("dmpo: autograd equals finite differences, and an enormous margin stays finite") {
  expect_gradient(*make_loss(objective({"loss=dmpo", "beta=20", "margin=0.2", "label_smoothing=0.1", "anchor=0.3"})),
                  Errors(0.30, 0.50, 0.32, 0.49, 0.9));
  CHECK(value(run_dmpo({"beta=5000"}, Errors(0.9, 0.1, 0.1, 0.9)).loss) == doctest::Approx(-std::log(0.01)));
}
