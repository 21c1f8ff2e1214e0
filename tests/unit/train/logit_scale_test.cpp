// beta = "auto" on margins that grow by 2e-4 a step, as errors of 0.3 with Adam would have them.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/objective/loss/beta.h"
#include "palate/train/logit_scale.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Growing {
  explicit Growing(const std::vector<std::string>& overrides, int64_t warmup = 0)
      : made(toy_objective(overrides)), scale(made, warmup, 1000) {}
  // What a pass of that step would give: two examples, one twice as far ahead as the other.
  ObjectiveOutput at(int64_t step) {
    ObjectiveOutput out;
    out.policy = out.reference = torch::full({4}, 0.3);
    const double margin = 2e-4 * static_cast<double>(step);
    out.terms.logits = made.strength()->k() * torch::tensor({2 * margin / 3, -4 * margin / 3}, torch::kFloat64);
    return out;
  }
  void run(int64_t from, int64_t to) {
    for (int64_t step = from; step < to; ++step) {
      scale.observe(step, at(step), {});
      scale.end_step();
    }
  }
  Objective made;
  LogitScale scale;
};

}  // namespace

TEST_CASE("logit scale: at first a margin of 1 % of the errors has the target, then the margins that were met") {
  Growing it({"beta=auto", "auto_steps=10"});
  CHECK(it.scale.waits());
  it.scale.begin(it.at(0));
  // 0.1 / (0.01 * 0.3) = 33.3, and beta is twice that in DPO's convention.
  CHECK(it.made.strength()->k() == doctest::Approx(100.0 / 3).epsilon(1e-6));
  CHECK(it.scale.beta() == doctest::Approx(200.0 / 3).epsilon(1e-6));
  it.run(0, 9);
  CHECK(it.made.strength()->k() == doctest::Approx(100.0 / 3).epsilon(1e-6));
  it.run(9, 10);
  // Steps 5 to 9: mean |margin| is 2e-4 * 7.
  CHECK(it.made.strength()->k() == doctest::Approx(0.1 / 1.4e-3));
  it.run(10, 40);
  CHECK(it.made.strength()->k() == doctest::Approx(0.1 / 1.4e-3));
}

TEST_CASE("logit scale: warm-up comes on top, another target and convention are kept to") {
  Growing it({"beta=auto", "auto_steps=10", "beta_target=0.5", "beta_convention=diffusers"}, 20);
  it.scale.begin(it.at(0));
  it.run(0, 29);
  CHECK(it.scale.beta() == doctest::Approx(0.5 / 3e-3).epsilon(1e-6));
  it.run(29, 30);
  CHECK(it.scale.beta() == doctest::Approx(0.5 / (2e-4 * 27)));
}

TEST_CASE("logit scale: a run that is resumed finds the same beta to the bit, wherever it was stopped") {
  Growing whole({"beta=auto", "auto_steps=10"});
  whole.scale.begin(whole.at(0));
  whole.run(0, 12);
  for (const int64_t stop : {2, 7, 11}) {
    Growing before({"beta=auto", "auto_steps=10"}), after({"beta=auto", "auto_steps=10"});
    before.scale.begin(before.at(0));
    before.run(0, stop);
    TensorMap kept;
    before.scale.save(kept);
    after.scale.load(kept);
    CHECK_FALSE(after.scale.waits());
    after.run(stop, 12);
    CHECK(after.scale.beta() == whole.scale.beta());
  }
}

TEST_CASE("logit scale: a beta that is given stays, and a loss without one has nothing to find") {
  Growing it({"beta=2000"});
  it.scale.begin(it.at(0));
  it.run(0, 100);
  CHECK(it.scale.beta() == 2000);
  TensorMap kept;
  it.scale.save(kept);
  CHECK(kept.empty());
  Objective sft = toy_objective({"loss=sft", "reference=none"}, -1);
  const LogitScale none(sft, 0, 100);
  CHECK_FALSE(none.waits());
  CHECK_FALSE(none.is_automatic());
}

TEST_CASE("logit scale: \"auto\" is a word of beta alone, is saved as it was written, and is no number to evaluate with") {
  const ObjectiveConfig config = objective({"beta=auto"});
  ObjectiveConfig copy = config;
  CHECK(config_to_toml([&](Fields& f) { copy.visit(f); }).find("beta = \"auto\"") != std::string::npos);
  CHECK_THROWS_AS(objective({"snr_gamma=auto"}), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"loss=dspo", "beta=auto"}), doctest::Contains("form = sd15"), ConfigError);
  Objective made = toy_objective({"beta=auto"});
  ToyDenoiser network(0.5);
  Policy policy{network};
  const Batch batch = toy_pairs({1, 2});
  CHECK_THROWS_WITH_AS(made.evaluate(policy, batch, made.draw(batch, 0)), doctest::Contains("which `palate train` finds"), UsageError);
}
