// Diffusion-KTO by hand. Two pictures, thumbs up and down, with d = (0.30, 0.50) and reference (0.33, 0.49):
//   g = (0.03, -0.01), Q = max(0, 0.01) = 0.01, y (g - Q) = (0.02, 0.02).
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Singles {
  explicit Singles(const std::vector<double>& d, const std::vector<double>& reference = {0.33, 0.49}) {
    policy = torch::tensor(d, torch::kFloat64);
    frozen = torch::tensor(reference, torch::kFloat64);
    batch.visits = {{}, {}};
    batch.label = torch::tensor({1.0, -1.0}, torch::kFloat64);
  }
  Tensor policy, frozen;
  Batch batch;
  Noised noised;
};

LossOutput run(const std::vector<std::string>& constants, const Singles& e, const Ranks& ranks = {}) {
  std::vector<std::string> overrides = {"loss=kto"};
  overrides.insert(overrides.end(), constants.begin(), constants.end());
  return (*make_loss(objective(overrides)))({{e.policy, {}}, {e.frozen, {}}, e.batch, e.noised}, ranks);
}

double sigma(double z) { return 1 / (1 + std::exp(-z)); }

}  // namespace

TEST_CASE("kto: 1 - sigma(beta y (g - Q)), with the weight of its thumb") {
  const auto out = run({"beta=50", "undesirable_weight=0.5"}, Singles({0.30, 0.50}));
  CHECK(out.logits[0].item<double>() == doctest::Approx(1.0));
  CHECK(out.logits[1].item<double>() == doctest::Approx(1.0));
  CHECK(out.loss[0].item<double>() == doctest::Approx(1 - sigma(1)));
  CHECK(out.loss[1].item<double>() == doctest::Approx(0.5 * (1 - sigma(1))));
  CHECK(out.reward[0].item<double>() == doctest::Approx(1.5));
  CHECK(out.reward[1].item<double>() == doctest::Approx(-0.5));
  CHECK(out.terms.at("kl").item<double>() == doctest::Approx(0.5));
}

TEST_CASE("kto: Q is not below 0, is the mean over all ranks, and has no gradient") {
  // g = (-0.01, -0.01): the mean is negative, so Q = 0 and z = (-0.5, 0.5).
  const auto below = run({"beta=50"}, Singles({0.34, 0.50}));
  CHECK(below.terms.at("kl").item<double>() == 0);
  CHECK(below.logits[0].item<double>() == doctest::Approx(-0.5));
  struct Other : Ranks {  // another rank's mean is 0.03, so that of both is 0.02
    Tensor mean(const Tensor& value) const override { return (value + 0.03) / 2; }
  };
  CHECK(run({"beta=50"}, Singles({0.30, 0.50}), Other()).terms.at("kl").item<double>() == doctest::Approx(1.0));
  // dL / dd of the first: beta y sigma(z) sigma(-z), Q held fixed.
  Singles e({0.30, 0.50});
  e.policy.requires_grad_(true);
  run({"beta=50"}, e).loss.sum().backward();
  CHECK(e.policy.grad()[0].item<double>() == doctest::Approx(50 * sigma(1) * sigma(-1)));
  CHECK(e.policy.grad()[1].item<double>() == doctest::Approx(-50 * sigma(1) * sigma(-1)));
}

TEST_CASE("kto: both pictures of a pair have its prompt, and weigh 2 P - 1, as the mean over its two orders does; a tie weighs nothing") {
  Batch pairs = toy_pairs({1, 2, 3});
  pairs.label = torch::tensor({1.0F, 0.75F, 0.5F});
  const Objective made = toy_objective({"loss=kto"});
  expect_equal("weight", made.draw(pairs, 0).weight, torch::tensor({1.0F, 0.5F, 0.0F, 1.0F, 0.5F, 0.0F}));
  expect_equal("label", pairs.singles().label, torch::tensor({1.0F, 1.0F, 1.0F, -1.0F, -1.0F, -1.0F}));
  pairs.prompts = {"a", "b", "c"};
  CHECK(pairs.singles().prompts == std::vector<std::string>{"a", "b", "c", "a", "b", "c"});
  pairs.weight = torch::tensor({3.0F, 0.5F, 1.0F});  // and its own weight besides
  expect_equal("weight", made.draw(pairs, 0).weight, torch::tensor({3.0F, 0.25F, 0.0F, 3.0F, 0.25F, 0.0F}));
  const auto gradient = [](double first, double second) {
    Singles e({0.30, 0.50});
    e.batch.label = torch::tensor({first, second}, torch::kFloat64);
    e.policy.requires_grad_(true);
    run({"beta=50"}, e).loss.sum().backward();
    return e.policy.grad();
  };
  expect_close("gradient", 0.75 * gradient(1, -1) + 0.25 * gradient(-1, 1), 0.5 * gradient(1, -1), 1e-12);
}

TEST_CASE("kto: pairs that were made single pictures before give what they give as pairs") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective made = toy_objective({"loss=kto"});
  const Batch pairs = toy_pairs({7, 8}), seen = made.seen(pairs);
  CHECK(seen.visits.size() == 4);
  const auto a = made.evaluate(policy, pairs, made.draw(pairs, 3)), b = made.evaluate(policy, seen, made.draw(seen, 3));
  expect_equal("losses", b.losses.detach(), a.losses.detach());
  CHECK(b.metrics == a.metrics);
  CHECK(a.views == 2);
  CHECK(b.views == 2);
}

TEST_CASE("kto: of a pair both pictures are looked at, each with noise of its own; one picture alone is refused") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective made = toy_objective({"loss=kto"});
  const Batch pair = toy_pairs({7});
  const Noising noising = made.draw(pair, 3);
  CHECK(noising.noise.size(0) == 2);
  CHECK_FALSE(noising.noise[0].equal(noising.noise[1]));
  const auto out = made.evaluate(policy, pair, noising);
  CHECK(out.losses.numel() == 2);
  CHECK(out.metrics.count("kl") == 1);
  CHECK(out.metrics.at("rewards/margins") == doctest::Approx(out.metrics.at("rewards/chosen") - out.metrics.at("rewards/rejected")));
  const Batch single = pair.first_view();
  CHECK_THROWS_WITH_AS(made.evaluate(policy, single, made.draw(single, 3)), doctest::Contains("needs at least 2 examples"), UsageError);
}
