// Diffusion-SDPO's safeguard by hand: pictures are chosen so that the residuals of gain * x_t - noise are the numbers that we want.
#include <doctest/doctest.h>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

constexpr double guarded_gain = 0.5;

struct Guarded {
  // Residuals of two numbers each, of the preferred and of the rejected picture.
  Guarded(const std::vector<float>& win, const std::vector<float>& lose) {
    batch = toy_pairs({1}, {}, 1, 1);
    const Tensor noise = torch::tensor({0.3F, -0.7F}).view({1, 1, 1, 2}), t = torch::tensor({400});
    const Tensor x_t = (torch::cat({torch::tensor(win), torch::tensor(lose)}).view({2, 1, 1, 2}) + noise) / guarded_gain;
    batch.x0 = (x_t - toy_schedule().sigma(t).item<double>() * noise) / toy_schedule().alpha(t).item<double>();
    noising = {.t = t, .weight = torch::ones({1}), .noise = noise};
  }
  // The loss, and the gradient that reaches the gain.
  std::pair<ObjectiveOutput, double> run(std::vector<std::string> overrides) const {
    ToyDenoiser network(guarded_gain);
    Policy policy{network};
    overrides.insert(overrides.begin(), {"loss=dpo", "beta=4"});
    Objective made = toy_objective(overrides, 0.4);
    ObjectiveOutput out = made.evaluate(policy, batch, noising);
    out.loss.backward();
    return {out, network.gain().grad().item<double>()};
  }
  Batch batch;
  Noising noising;
};

double lambda_of(const Guarded& pair, const char* mu) { return pair.run({mu}).first.terms.terms.at("lambda").item<double>(); }

}  // namespace

TEST_CASE("safeguard: lambda = min(1, (1 - mu) |e_w|^2 / (e_w . e_l)) where the errors point the same way, else 1") {
  // e_w = (1, 0), e_l = (2, 1): |e_w|^2 = 1/2 and e_w . e_l = 1, as means: the bound is (1 - mu) / 2.
  CHECK(lambda_of(Guarded({1, 0}, {2, 1}), "safeguard=0.2") == doctest::Approx(0.4));
  CHECK(lambda_of(Guarded({1, 0}, {2, 1}), "safeguard=1") == doctest::Approx(0.0));
  // e_l = (0.5, 0): the bound is 2 (1 - mu) = 1.6, and nothing is scaled up.
  CHECK(lambda_of(Guarded({1, 0}, {0.5, 0}), "safeguard=0.2") == 1);
  // Apart, or at right angles: free.
  CHECK(lambda_of(Guarded({1, 0}, {-1, 1}), "safeguard=0.9") == 1);
  CHECK(lambda_of(Guarded({1, 0}, {0, 3}), "safeguard=0.9") == 1);
}

TEST_CASE("safeguard: no value changes, and the rejected picture's gradient alone is scaled") {
  const Guarded pair({1, 0}, {2, 1});
  const auto plain = pair.run({}), safe = pair.run({"safeguard=0.2"}), winner = pair.run({"safeguard=1"});
  CHECK(plain.first.terms.terms.count("lambda") == 0);
  expect_equal("loss", safe.first.loss.detach(), plain.first.loss.detach());
  expect_equal("logits", safe.first.terms.logits.detach(), plain.first.terms.logits.detach());
  CHECK(safe.first.metrics.at("lambda") == doctest::Approx(0.4));
  // With mu = 1 the winner's part is left: the rejected one's is the difference, of which 0.4 stays.
  CHECK(safe.second == doctest::Approx(winner.second + 0.4 * (plain.second - winner.second)).epsilon(1e-5));
  // Both parts by hand: k sigmoid(-z) times 2 mean(e x_t), x_t = (e + noise) / gain.
  const double slope = 2 / (1 + std::exp(plain.first.terms.logits.item<double>()));
  CHECK(winner.second == doctest::Approx(slope * 2 * (1 * 1.3 + 0) / 2 / guarded_gain).epsilon(1e-4));
  CHECK(plain.second - winner.second == doctest::Approx(-slope * 2 * (2 * 2.3 + 1 * 0.3) / 2 / guarded_gain).epsilon(1e-4));
}

TEST_CASE("safeguard: for losses that look at a rejected picture") {
  CHECK_NOTHROW(objective({"loss=mapo", "safeguard=0.5"}));
  CHECK_THROWS_WITH_AS(objective({"loss=sft", "safeguard=0.5"}), doctest::Contains("'sft' looks at no rejected picture"), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"safeguard=1.5"}), doctest::Contains("expected 0 to 1"), ConfigError);
}
