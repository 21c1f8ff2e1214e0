// Losses on pairs without a reference, by hand. Throughout d_w = 0.30 and d_l = 0.50, so m = d_l - d_w = 0.20.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "tests/unit/objective/errors.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

std::unique_ptr<Loss> free_loss(const std::string& name, const std::vector<std::string>& constants) {
  std::vector<std::string> overrides = {"loss=" + name, "reference=none"};
  overrides.insert(overrides.end(), constants.begin(), constants.end());
  return make_loss(objective(overrides));
}

LossOutput of(const std::string& name, const std::vector<std::string>& constants, const Errors& e = {}) {
  return (*free_loss(name, constants))(e.statistics(), {});
}

double h(double d, double c = 0.5) { return c * d / (std::exp(c * d) - 1); }

}  // namespace

TEST_CASE("cpo: -log sigmoid(beta (d_l - d_w) - margin) + anchor d_w, without a half") {
  // beta = 10: z = 10 * 0.20 = 2. The anchor is 1 unless it is set.
  const auto out = of("cpo", {"beta=10"});
  CHECK(value(out.logits) == doctest::Approx(2.0));
  CHECK(value(out.loss) == doctest::Approx(-log_sigmoid(2.0) + 0.30));
  CHECK(value(of("cpo", {"beta=10", "anchor=0"}).loss) == doctest::Approx(-log_sigmoid(2.0)));
  CHECK(value(of("cpo", {"beta=10", "anchor=0", "margin=0.5"}).loss) == doctest::Approx(-log_sigmoid(1.5)));
  CHECK(value(of("cpo", {"beta=20", "beta_convention=palate"}).loss) == doctest::Approx(value(out.loss)));
  // Smoothing 0.1: 0.9 of the loss at z and 0.1 of that at -z; the anchor is on the winner as it is labelled.
  CHECK(value(of("cpo", {"beta=10", "label_smoothing=0.1"}).loss) ==
        doctest::Approx(-0.9 * log_sigmoid(2.0) - 0.1 * log_sigmoid(-2.0) + 0.30));
}

TEST_CASE("orpo: d_w - beta log sigmoid(d_l - d_w): a larger error on the winner is never rewarded") {
  const auto out = of("orpo", {});
  CHECK(value(out.logits) == doctest::Approx(0.20));
  CHECK(value(out.loss) == doctest::Approx(0.30 - 0.1 * log_sigmoid(0.20)));
  CHECK(value(of("orpo", {"beta=2", "margin=0.1", "anchor=0.5"}).loss) == doctest::Approx(0.15 - 2 * log_sigmoid(0.10)));
  // diffusers' prototype has log sigmoid(d_w - d_l): at beta = 10 its gradient in d_w, 1 - 10 sigmoid(0.20), is below 0. Ours is above.
  Errors e;
  e.policy.requires_grad_(true);
  (*free_loss("orpo", {"beta=10"}))(e.statistics(), {}).loss.sum().backward();
  CHECK(value(e.policy.grad()[0]) == doctest::Approx(1 + 10 * sigmoid(-0.20)));
  CHECK(value(e.policy.grad()[1]) == doctest::Approx(-10 * sigmoid(-0.20)));
}

TEST_CASE("mapo: d_w - beta log sigmoid(T (h(d_w) - h(d_l))), h(d) = c d / (exp(c d) - 1)") {
  // h(0.30) = 0.15 / (e^0.15 - 1) = 0.926873, h(0.50) = 0.25 / (e^0.25 - 1) = 0.880203: z = 46.67 at T = 1000, where the link is flat.
  CHECK(h(0.30) == doctest::Approx(0.926873).epsilon(1e-6));
  CHECK(h(0.50) == doctest::Approx(0.880203).epsilon(1e-6));
  const auto out = of("mapo", {});
  CHECK(value(out.logits) == doctest::Approx(1000 * (h(0.30) - h(0.50))));
  CHECK(value(out.loss) == doctest::Approx(0.30));
  CHECK(value(out.terms.at("score_win")) == doctest::Approx(h(0.30)));
  CHECK(value(of("mapo", {"mapo_scale=10", "margin=0.1"}).loss) ==
        doctest::Approx(0.30 - 0.1 * log_sigmoid(10 * (h(0.30) - h(0.50)) - 0.1)));
  CHECK(value(of("mapo", {"snr_value=2", "mapo_scale=1"}).logits) == doctest::Approx(h(0.30, 2) - h(0.50, 2)));
}

TEST_CASE("mapo: at no error h is 1 and falls by c / 2, where the quotient is 0 / 0") {
  Errors e(0, 0);
  e.policy.requires_grad_(true);
  const auto out = of("mapo", {"mapo_scale=10", "beta=1", "anchor=0"}, e);
  CHECK(value(out.terms.at("score_win")) == 1);
  CHECK(value(out.loss) == doctest::Approx(std::log(2.0)));
  out.loss.sum().backward();
  CHECK(value(e.policy.grad()[0]) == doctest::Approx(10 * 0.25 * 0.5));  // scale c / 2 sigmoid(0)
  // Both sides of the change to the series: 1e-4 / 0.5.
  for (const double d : {1.99e-4, 2.01e-4}) {
    CHECK(value(of("mapo", {}, Errors(d, 0.5)).terms.at("score_win")) == doctest::Approx(0.5 * d / std::expm1(0.5 * d)).epsilon(1e-12));
  }
}

TEST_CASE("pairs without a reference: autograd equals finite differences, with every constant set and a soft label") {
  for (const char* name : {"cpo", "orpo", "mapo"}) {
    INFO(name);
    std::vector<std::string> constants = {"beta=3", "margin=0.2", "label_smoothing=0.1", "anchor=0.7"};
    if (std::string(name) == "mapo") constants.emplace_back("mapo_scale=20");
    const auto loss = free_loss(name, constants);
    CHECK_FALSE(loss->needs().reference);
    CHECK(loss->needs().rejected);
    expect_gradient(*loss, Errors(0.30, 0.50, 0, 0, 0.8));
    expect_gradient(*loss, Errors(0.70, 0.20, 0, 0, 1));
  }
}

TEST_CASE("pairs without a reference: a tie is symmetric, anchor and all") {
  for (const char* name : {"cpo", "orpo", "mapo"}) {
    const std::vector<std::string> constants = {"anchor=0.7", "margin=0.1", "beta=2"};
    CHECK(value(of(name, constants, Errors(0.30, 0.50, 0, 0, 0.5)).loss) ==
          doctest::Approx(value(of(name, constants, Errors(0.50, 0.30, 0, 0, 0.5)).loss)));
  }
}

TEST_CASE("losses share keys: each has its own default, and a key's former name is read") {
  // kto's beta was kto_beta; a complete file of a dpo run of before may hold it, too.
  const auto kto = objective({"loss=kto", "kto_beta=50"});
  CHECK(config_to_toml([&](Fields& f) { ObjectiveConfig(kto).visit(f); }).find("\nbeta = 50") != std::string::npos);
  CHECK_NOTHROW(objective({"kto_beta=1000"}));
  CHECK_THROWS_WITH_AS(objective({"kto_beta=50"}), doctest::Contains("is a key of loss = \"kto\", but loss is \"dpo\""), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"loss=kto", "kto_beta=0"}), doctest::Contains("objective.beta is 0"), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"loss=mapo", "beta_convention=per-T"}), doctest::Contains("is a key of loss = \"dpo\""), ConfigError);
}
