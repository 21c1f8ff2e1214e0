// The losses by hand. Throughout: d_w = 0.30, d_l = 0.50, r_w = 0.32, r_l = 0.49, so the policy has moved by
//   margin m = (r_w - r_l) - (d_w - d_l) = -0.17 + 0.20 = 0.03.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "tests/unit/objective/errors.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

std::unique_ptr<Loss> dpo(std::vector<std::string> overrides) {
  overrides.insert(overrides.begin(), "loss=dpo");
  return make_loss(objective(overrides));
}

Errors errors(double dw = 0.30, double dl = 0.50, double rw = 0.32, double rl = 0.49, double p = 1) { return {dw, dl, rw, rl, p}; }

LossOutput run(const std::vector<std::string>& overrides, const Errors& e) { return (*dpo(overrides))(e.statistics(), {}); }

const double margin = 0.03;

}  // namespace

TEST_CASE("dpo: equal errors give log 2, and no reward") {
  for (const char* beta : {"beta=1", "beta=5000"}) {
    const auto out = run({beta}, errors(0.4, 0.4, 0.4, 0.4));
    CHECK(value(out.loss) == doctest::Approx(std::log(2.0)).epsilon(1e-12));
    CHECK(value(out.logits) == 0);
    CHECK(out.reward.abs().max().item<double>() == 0);
  }
  // Whatever the errors are: a policy that equals its reference is at log 2.
  CHECK(value(run({"beta=2000"}, errors(0.1, 0.7, 0.1, 0.7)).loss) == doctest::Approx(std::log(2.0)).epsilon(1e-9));
}

TEST_CASE("dpo sigmoid: z = beta / 2 m and the loss is -log sigmoid(z)") {
  // beta = 100: z = 50 * 0.03 = 1.5; rewards 50 (0.32 - 0.30) = 1 and 50 (0.49 - 0.50) = -0.5, whose difference is z.
  const auto out = run({"beta=100"}, errors());
  CHECK(value(out.logits) == doctest::Approx(1.5));
  CHECK(value(out.loss) == doctest::Approx(-std::log(sigmoid(1.5))));
  CHECK(value(out.reward[0]) == doctest::Approx(1.0));
  CHECK(value(out.reward[1]) == doctest::Approx(-0.5));
}

TEST_CASE("dpo hinge: max(0, 1 - z)") {
  CHECK(value(run({"beta=20", "loss_type=hinge"}, errors()).loss) == doctest::Approx(1 - 10 * margin));  // z = 0.3
  CHECK(value(run({"beta=100", "loss_type=hinge"}, errors()).loss) == 0);                                // z = 1.5
}

TEST_CASE("dpo ipo: the target 1 / (2 tau) stands in units of the error, tau = beta / 2") {
  // beta = 5000, so tau = 2500 and the target margin is 2e-4.
  CHECK(value(run({"beta=5000", "loss_type=ipo"}, errors()).loss) == doctest::Approx(std::pow(margin - 2e-4, 2)));
  CHECK(value(run({"beta=5000", "loss_type=ipo"}, errors(0.3, 0.5, 0.3, 0.5)).loss) == doctest::Approx(4e-8));
  CHECK(value(run({"beta=2500", "beta_convention=diffusers", "loss_type=ipo"}, errors()).loss) ==
        doctest::Approx(std::pow(margin - 2e-4, 2)));
}

TEST_CASE("dpo: label smoothing s gives (1 - s) l(m) + s l(-m)") {
  const auto out = run({"beta=100", "label_smoothing=0.2"}, errors());
  CHECK(value(out.loss) == doctest::Approx(-0.8 * std::log(sigmoid(1.5)) - 0.2 * std::log(sigmoid(-1.5))));
}

TEST_CASE("dpo: a soft label P is cross-entropy, and a tie is symmetric") {
  const auto soft = run({"beta=100"}, errors(0.30, 0.50, 0.32, 0.49, 0.7));
  CHECK(value(soft.loss) == doctest::Approx(-0.7 * std::log(sigmoid(1.5)) - 0.3 * std::log(sigmoid(-1.5))));
  const auto tie = run({"beta=100"}, errors(0.30, 0.50, 0.32, 0.49, 0.5)), turned = run({"beta=100"}, errors(0.50, 0.30, 0.49, 0.32, 0.5));
  CHECK(value(tie.loss) == doctest::Approx(value(turned.loss)));
  // Smoothing on top: P' = 0.7 * 0.8 + 0.3 * 0.2 = 0.62.
  const auto both = run({"beta=100", "label_smoothing=0.2"}, errors(0.30, 0.50, 0.32, 0.49, 0.7));
  CHECK(value(both.loss) == doctest::Approx(-0.62 * std::log(sigmoid(1.5)) - 0.38 * std::log(sigmoid(-1.5))));
}

TEST_CASE("dpo: the conventions A(beta), B(beta / 2) and C(beta / 1000) are one loss") {
  for (const char* type : {"loss_type=sigmoid", "loss_type=hinge", "loss_type=ipo"}) {
    const double a = value(run({"beta=30", type}, errors()).loss);
    CHECK(value(run({"beta=15", "beta_convention=diffusers", type}, errors()).loss) == doctest::Approx(a).epsilon(1e-12));
    CHECK(value(run({"beta=0.03", "beta_convention=per-T", type}, errors()).loss) == doctest::Approx(a).epsilon(1e-12));
  }
}

TEST_CASE("dpo: a margin is subtracted from z, in either order") {
  // beta = 100, margin = 0.5: z = 1.5 - 0.5 = 1, and -1.5 - 0.5 = -2 for the other order.
  const auto out = run({"beta=100", "margin=0.5"}, errors());
  CHECK(value(out.logits) == doctest::Approx(1.0));
  CHECK(value(out.loss) == doctest::Approx(-std::log(sigmoid(1.0))));
  CHECK(value(run({"beta=100", "margin=0.5", "label_smoothing=0.1"}, errors()).loss) ==
        doctest::Approx(-0.9 * std::log(sigmoid(1.0)) - 0.1 * std::log(sigmoid(-2.0))));
  CHECK(value(run({"beta=100", "margin=0.5", "loss_type=hinge"}, errors()).loss) == doctest::Approx(0.0));
  CHECK(value(run({"beta=100", "margin=1", "loss_type=hinge"}, errors()).loss) == doctest::Approx(0.5));
  // ipo, in units of the error: k = 50, m - 0.5 / 50 - 1 / 100 = 0.03 - 0.02 = 0.01.
  CHECK(value(run({"beta=100", "margin=0.5", "loss_type=ipo"}, errors()).loss) == doctest::Approx(1e-4));
}

TEST_CASE("dpo robust: ((1 - s) l(m) - s l(-m)) / (1 - 2 s), which wrong labels leave unbiased") {
  const double right = -std::log(sigmoid(1.5)), wrong = -std::log(sigmoid(-1.5));
  const std::vector<std::string> robust = {"beta=100", "loss_type=robust", "label_smoothing=0.2"};
  CHECK(value(run(robust, errors()).loss) == doctest::Approx((0.8 * right - 0.2 * wrong) / 0.6));
  // 80 % of the labels are right and 20 % turned round: on average the loss on the right ones.
  const double turned = value(run(robust, errors(0.50, 0.30, 0.49, 0.32)).loss);
  CHECK(0.8 * value(run(robust, errors()).loss) + 0.2 * turned == doctest::Approx(right));
  CHECK_THROWS_WITH_AS(dpo({"loss_type=robust", "label_smoothing=0.5"}), doctest::Contains("robust needs less than 0.5"), ConfigError);
}

TEST_CASE("dpo: an anchor adds the winner's own error, by the data's own label") {
  const auto plain = run({"beta=100"}, errors()), anchored = run({"beta=100", "anchor=0.5"}, errors());
  CHECK(value(anchored.loss) == doctest::Approx(value(plain.loss) + 0.5 * 0.30));
  CHECK(value(anchored.terms.at("anchor")) == doctest::Approx(0.15));
  CHECK(plain.terms.empty());
  // P = 0.7 is preferred: 0.7 * 0.30 + 0.3 * 0.50 = 0.36, whatever smoothing does to the comparison.
  CHECK(value(run({"beta=100", "anchor=0.5", "label_smoothing=0.2"}, errors(0.30, 0.50, 0.32, 0.49, 0.7)).terms.at("anchor")) ==
        doctest::Approx(0.18));
}

TEST_CASE("dpo: autograd equals finite differences, and the formula beta / 2 sigmoid(-z)") {
  for (const char* type : {"loss_type=sigmoid", "loss_type=hinge", "loss_type=ipo", "loss_type=robust"}) {
    INFO(type);
    expect_gradient(*dpo({"beta=20", "label_smoothing=0.1", "margin=0.2", "anchor=0.3", type}), Errors(0.30, 0.50, 0.32, 0.49, 0.9));
  }
  Errors e;
  e.policy.requires_grad_(true);
  (*dpo({"beta=100"}))(e.statistics(), {}).loss.sum().backward();
  CHECK(value(e.policy.grad()[0]) == doctest::Approx(50 * sigmoid(-1.5)));
}

TEST_CASE("dpo: an enormous margin neither overflows nor loses its gradient") {
  Errors e(0.9, 0.1, 0.1, 0.9);  // z = -2500 * 1.6
  e.policy.requires_grad_(true);
  const auto out = run({"beta=5000"}, e);
  CHECK(value(out.loss) == doctest::Approx(4000));
  out.loss.sum().backward();
  CHECK(value(e.policy.grad()[0]) == doctest::Approx(2500));
}

TEST_CASE("sft: the winner's error, nothing else") {
  const auto loss = make_loss(objective({"loss=sft", "reference=none"}));
  CHECK_FALSE(loss->needs().reference);
  CHECK_FALSE(loss->needs().rejected);
  Errors e;
  e.batch.views = 1;
  e.batch.visits = {{}, {}};
  e.policy = torch::tensor({0.25, 0.5});
  CHECK(torch::equal((*loss)(e.statistics(), {}).loss, e.policy));
}
