// InPO's inverted pictures, by the recursion on one number: the network says gain * x of whatever it is shown.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

constexpr double inverting_gain = 0.3;

double alpha_at(int64_t t) { return toy_schedule().alpha(torch::tensor({t})).item<double>(); }
double sigma_at(int64_t t) { return toy_schedule().sigma(torch::tensor({t})).item<double>(); }

// The deviation of DDPM's step from t to s.
double step_std(int64_t t, int64_t s) { return sigma_at(s) / sigma_at(t) * std::sqrt(1 - std::pow(alpha_at(t) / alpha_at(s), 2)); }

// Where the inversion of x0 to t arrives with 10 nodes: 0, 100, ... below t.
double inverted(double x0, int64_t t, const std::vector<double>& z, double eta, bool v) {
  double x = x0;
  for (int64_t i = 0; i < 10 && 100 * i < t; ++i) {
    const double a = i == 0 ? 1 : alpha_at(100 * (i - 1)), s = i == 0 ? 0 : sigma_at(100 * (i - 1)), p = inverting_gain * x;
    const double clean = v ? a * x - s * p : (x - s * p) / a, noise = v ? s * x + a * p : p;
    x = alpha_at(100 * i) * clean + sigma_at(100 * i) * noise + eta * step_std(std::min<int64_t>(100 * i + 100, 999), 100 * i) * z[i];
  }
  return x;
}

struct Inverting {
  ToyDenoiser network{inverting_gain};
  Policy policy{network};
  Batch batch = toy_pairs({1, 2, 3}, {}, 1, 1);
  Noising noising;
  explicit Inverting(const std::vector<int64_t>& t) {
    noising = {.t = torch::tensor(t), .weight = torch::ones({3}), .noise = torch::zeros({3, 1, 1, 1})};
    noising.inversion_noise = Generator({5, 0, 0, Purpose::test}).normal({3, 10, 1, 1, 1});
  }
  ObjectiveOutput run(const std::string& prediction, std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.begin(), {"loss=dpo", "beta=4", "noising=inverted"});
    Objective made = toy_objective(overrides, 0.2, toy_schedule(prediction));
    return made.evaluate(policy, batch, noising);
  }
};

}  // namespace

TEST_CASE("inversion: each picture goes up to its own t, and the noise that the network should have said is what brings it there") {
  for (const std::string prediction : {"epsilon", "v_prediction"}) {
    Inverting pairs({150, 0, 990});
    const auto out = pairs.run(prediction);
    for (int64_t row = 0; row < 6; ++row) {
      const double x0 = pairs.batch.x0.view(-1)[row].item<double>();
      const auto t = pairs.noising.t[row % 3].item<int64_t>();
      std::vector<double> z;
      for (int64_t i = 0; i < 10; ++i) z.push_back(pairs.noising.inversion_noise[row % 3][i].item<double>());
      const bool v = prediction == "v_prediction";
      const double x = inverted(x0, t, z, 0.1, v), noise = (x - alpha_at(t) * x0) / sigma_at(t);
      const double target = v ? alpha_at(t) * noise - sigma_at(t) * x0 : noise;
      INFO(prediction, " row ", row);
      CHECK(out.policy[row].item<double>() == doctest::Approx(std::pow(inverting_gain * x - target, 2)).epsilon(1e-4));
      CHECK(out.reference[row].item<double>() == doctest::Approx(std::pow(0.2 * x - target, 2)).epsilon(1e-4));
    }
    CHECK(pairs.network.calls == 10 + 1);  // ten nodes below 990, and the loss
  }
}

TEST_CASE("inversion: nodes above every t are not visited, and no gradient goes through it") {
  Inverting pairs({150, 90, 101});
  const auto out = pairs.run("epsilon", {"loss=sft", "reference=none", "beta=5000"});
  CHECK(pairs.network.calls == 2 + 1);  // nodes 0 and 100
  out.loss.backward();
  double by_hand = 0;  // of mean (gain x - noise)^2 with x and noise held fixed
  for (int64_t row = 0; row < 3; ++row) {
    const double x0 = pairs.batch.x0.view(-1)[row].item<double>();
    const auto t = pairs.noising.t[row].item<int64_t>();
    std::vector<double> z;
    for (int64_t i = 0; i < 10; ++i) z.push_back(pairs.noising.inversion_noise[row][i].item<double>());
    const double x = inverted(x0, t, z, 0.1, false), noise = (x - alpha_at(t) * x0) / sigma_at(t);
    by_hand += 2 * (inverting_gain * x - noise) * x / 3;
  }
  CHECK(pairs.network.gain().grad().item<double>() == doctest::Approx(by_hand).epsilon(1e-4));
}

TEST_CASE("inversion: its random numbers are drawn for each example and node, and an example is the same in any batch") {
  Objective made = toy_objective({"noising=inverted", "inversion_steps=4"});
  const Batch pairs = toy_pairs({7, 8}), lone = toy_pairs({8});
  const Noising both = made.draw(pairs, 3), one = made.draw(lone, 3);
  CHECK(both.inversion_noise.sizes().vec() == std::vector<int64_t>{2, 4, 4, 4, 4});
  CHECK_FALSE(both.inversion_noise[0][0].equal(both.inversion_noise[0][1]));
  CHECK_FALSE(toy_objective({}).draw(pairs, 3).inversion_noise.defined());
  ToyDenoiser network(0.7);
  Policy policy{network};
  const auto a = made.evaluate(policy, pairs, both), b = made.evaluate(policy, lone, one);
  expect_close("losses", a.losses.detach()[1], b.losses.detach()[0], 1e-6);
}

TEST_CASE("inversion: what it cannot do is said") {
  CHECK_THROWS_WITH_AS(objective({"noising=inverted", "reference=cached"}), doctest::Contains("inverted pictures move with the policy"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(toy_objective({"noising=inverted"}, 0.5, toy_schedule("sample")),
                       doctest::Contains("is for models that predict noise or v"), UsageError);
  CHECK_THROWS_WITH_AS(toy_objective({"noising=inverted", "inversion_steps=1001"}), doctest::Contains("the model has 1000 timesteps"),
                       UsageError);
  Inverting pairs({150, 90, 101});
  CHECK_THROWS_WITH_AS(pairs.run("epsilon", {"inversion_steps=4"}), doctest::Contains("expected objective.inversion_steps = 4"),
                       UsageError);
}
