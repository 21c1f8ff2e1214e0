// DSPO by hand. Predictions of three numbers; of the preferred picture the policy is off by e = (0.5, -0.1, 0.4), the reference by
// (0.4, 0.2, 0.4), so it has moved by (0.1, -0.3, 0), whose mean square is 0.1 / 3.
//   d_w = 0.42 / 3 = 0.14, d_ref,w = 0.36 / 3 = 0.12; of the rejected one d_l = 0.27 / 3 = 0.09, d_ref,l = 0.03 / 3 = 0.01
//   m = (0.12 - 0.01) - (0.14 - 0.09) = 0.06
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "tests/unit/objective/errors.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Moved : Errors {
  explicit Moved(double size = 1, double p = 1) : Errors(0, 0, 0, 0, p) {
    predicted = size * torch::tensor({{0.5, -0.1, 0.4}, {0.3, -0.3, 0.3}}, torch::kFloat64);
    before = size * torch::tensor({{0.4, 0.2, 0.4}, {0.1, -0.1, 0.1}}, torch::kFloat64);
  }
  Statistics statistics() const { return {{predicted.square().mean(1), predicted}, {before.square().mean(1), before}, batch, noised}; }
  Tensor predicted, before;  // residuals [2, 3] of policy and reference
};

std::unique_ptr<Loss> dspo(std::vector<std::string> constants) {
  constants.insert(constants.begin(), "loss=dspo");
  return make_loss(objective(constants));
}

LossOutput run_dspo(const std::vector<std::string>& constants, const Moved& e) { return (*dspo(constants))(e.statistics(), {}); }

void expect_residual_gradient(const Loss& loss, Moved e) {
  e.predicted.requires_grad_(true);
  loss(e.statistics(), {}).loss.sum().backward();
  const double h = 1e-6;
  for (int64_t i = 0; i < 6; ++i) {
    const auto moved = [&](double by) {
      Moved other = e;
      other.predicted = e.predicted.detach().clone();
      other.predicted.view(-1)[i] += by;
      return value(loss(other.statistics(), {}).loss);
    };
    CHECK(value(e.predicted.grad().view(-1)[i]) == doctest::Approx((moved(h) - moved(-h)) / (2 * h)).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("dspo sd15: mean (e - beta (1 - sigmoid(z)) move)^2, z = beta / 2 m") {
  // beta = 20: z = 10 * 0.06 = 0.6, the push is 20 (1 - sigmoid(0.6)) = g.
  const double g = 20 * sigmoid(-0.6);
  const auto out = run_dspo({"beta=20"}, Moved());
  CHECK(value(out.logits) == doctest::Approx(0.6));
  CHECK(value(out.loss) == doctest::Approx((std::pow(0.5 - 0.1 * g, 2) + std::pow(-0.1 + 0.3 * g, 2) + 0.16) / 3));
  // At the published beta of 0.001 the gate is one half for all purposes, and the loss nearly the winner's own error.
  CHECK(value(run_dspo({}, Moved()).loss) == doctest::Approx(0.14).epsilon(1e-3));
  // The push is by the paper's beta, however it is given: 10 without the half is 20 with it.
  CHECK(value(run_dspo({"beta=10", "beta_convention=diffusers"}, Moved()).loss) == doctest::Approx(value(out.loss)));
  CHECK(value(run_dspo({"beta=20", "anchor=2"}, Moved()).loss) == doctest::Approx(value(out.loss) + 2 * 0.14));
}

TEST_CASE("dspo sdxl: the gate's square, times the move's where that is 0.1 or more") {
  const double gate = sigmoid(-0.6);
  CHECK(value(run_dspo({"beta=20", "form=sdxl"}, Moved()).loss) == doctest::Approx(gate * gate));
  // Twice the residuals: four times all errors, so z = 2.4, and the move's mean square is 0.4 / 3.
  const double far = sigmoid(-2.4);
  CHECK(value(run_dspo({"beta=20", "form=sdxl"}, Moved(2)).loss) == doctest::Approx(far * far * 0.4 / 3));
}

TEST_CASE("dspo: a soft label is the mean over both orders") {
  // The other order: z = -0.6, and the second picture's residuals are the winner's.
  Moved turned;
  turned.predicted = turned.predicted.flip(0);
  turned.before = turned.before.flip(0);
  for (const char* form : {"form=sd15", "form=sdxl"}) {
    const double there = value(run_dspo({"beta=20", form}, Moved()).loss), back = value(run_dspo({"beta=20", form}, turned).loss);
    CHECK(value(run_dspo({"beta=20", form}, Moved(1, 0.7)).loss) == doctest::Approx(0.7 * there + 0.3 * back));
  }
}

TEST_CASE("dspo: autograd equals finite differences: the gate has its gradient, too") {
  for (const char* form : {"form=sd15", "form=sdxl"}) {
    for (const double size : {1.0, 2.0}) {
      INFO(form, " ", size);
      expect_residual_gradient(*dspo({"beta=20", "margin=0.2", "label_smoothing=0.1", "anchor=0.3", form}), Moved(size, 0.9));
    }
  }
}
