// Losses on the model's own denoising steps by hand. Throughout: log p = 0.30, log p_old = 0.20, so the ratio to the old policy is
//   r = exp(0.1) = 1.10517,
// and of pairs log p - log p_ref = 0.04 (preferred) and -0.02 (rejected).
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/objective/reference/snapshot.h"
#include "palate/objective/step_objective.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

Tensor numbers(std::vector<double> values) { return torch::tensor(values, torch::kFloat64); }

struct Steps {
  Tensor log_prob = numbers({0.30}), old = numbers({0.20}), reference = numbers({0.25}), kl = numbers({0.5}), advantages = numbers({2});
  StepStatistics statistics() const { return {log_prob, reference, old, kl, advantages}; }
};

Steps pair_of_steps(double win = 0.04, double lose = -0.02) {
  return {.log_prob = numbers({1 + win, 2 + lose}),
          .old = numbers({1, 2}),
          .reference = numbers({1, 2}),
          .kl = numbers({0, 0}),
          .advantages = {}};
}

LossOutput run_steps(std::vector<std::string> overrides, const Steps& steps) {
  return (*make_step_loss(objective(overrides)))(steps.statistics());
}
double only(const Tensor& value) { return value.item<double>(); }
double sigmoid_of(double z) { return 1 / (1 + std::exp(-z)); }

const double r = std::exp(0.1);

}  // namespace

TEST_CASE("ddpo: max(-A r, -A clip(r)): a good step counts up to the clip, a bad one all the way") {
  CHECK(only(run_steps({"loss=ddpo", "clip=0.05"}, {}).loss) == doctest::Approx(-2 * 1.05));
  CHECK(only(run_steps({"loss=ddpo", "clip=0.2"}, {}).loss) == doctest::Approx(-2 * r));
  Steps bad;
  bad.advantages = numbers({-2});
  CHECK(only(run_steps({"loss=ddpo", "clip=0.05"}, bad).loss) == doctest::Approx(2 * r));
  Steps unlikely;  // a good step that became less likely is pushed back, whatever the clip
  unlikely.log_prob = numbers({0.1});
  CHECK(only(run_steps({"loss=ddpo", "clip=0.05"}, unlikely).loss) == doctest::Approx(-2 * std::exp(-0.1)));
}

TEST_CASE("ddpo: the advantage is clamped, and what is logged is half the squared change of log p and the share beyond the clip") {
  Steps far;
  far.advantages = numbers({-9});
  CHECK(only(run_steps({"loss=ddpo", "advantage_clip=5"}, far).loss) == doctest::Approx(5 * r));
  const auto out = run_steps({"loss=ddpo", "clip=0.2"}, {});
  CHECK(only(out.terms.at("approx_kl")) == doctest::Approx(0.005));
  CHECK(only(out.terms.at("clipfrac")) == 0);
  CHECK(only(run_steps({"loss=ddpo", "clip=0.1"}, {}).terms.at("clipfrac")) == 1);
  CHECK_FALSE(make_step_loss(objective({"loss=ddpo", "reference=none"}))->needs().reference);
}

TEST_CASE("dpok: reward_weight times the surrogate, plus kl_weight times the step's KL") {
  CHECK(only(run_steps({"loss=dpok", "clip=0.05", "reward_weight=10", "kl_weight=0.01"}, {}).loss) == doctest::Approx(-21 + 0.005));
}

TEST_CASE("flow-grpo: the surrogate plus kl_weight times the step's KL, with groups") {
  CHECK(only(run_steps({"loss=flow-grpo", "clip=0.05", "kl_weight=0.04"}, {}).loss) == doctest::Approx(-2.1 + 0.02));
  CHECK(make_step_loss(objective({"loss=flow-grpo"}))->needs().groups);
}

TEST_CASE("d3po and spo: z = beta (log r_w - log r_l) of clipped ratios") {
  for (const char* loss : {"loss=d3po", "loss=spo"}) {
    INFO(std::string(loss));
    const auto out = run_steps({loss, "beta=10", "clip=0.1"}, pair_of_steps());
    CHECK(only(out.logits) == doctest::Approx(0.6));
    CHECK(only(out.loss) == doctest::Approx(-std::log(sigmoid_of(0.6))));
    CHECK(only(out.terms.at("ratio_win")) == doctest::Approx(std::exp(0.04)));
    // Both beyond the clip: log 1.1 - log 0.9.
    CHECK(only(run_steps({loss, "beta=10", "clip=0.1"}, pair_of_steps(3, -3)).logits) ==
          doctest::Approx(10 * (std::log(1.1) - std::log(0.9))));
    CHECK(only(run_steps({loss}, pair_of_steps(0, 0)).loss) == doctest::Approx(std::log(2.0)));
  }
  CHECK(only(run_steps({"loss=d3po"}, pair_of_steps()).logits) == doctest::Approx(0.006));
  CHECK(only(run_steps({"loss=spo"}, pair_of_steps()).logits) == doctest::Approx(0.6));
  CHECK(make_step_loss(objective({"loss=d3po"}))->needs().compares == Compares::paths);
  CHECK(make_step_loss(objective({"loss=spo"}))->needs().compares == Compares::candidates);
}

TEST_CASE("step losses: autograd equals finite differences") {
  const double h = 1e-6;
  for (const std::vector<std::string>& overrides : std::vector<std::vector<std::string>>{
           {"loss=ddpo", "clip=0.2"}, {"loss=dpok", "clip=0.2"}, {"loss=flow-grpo", "clip=0.2"}, {"loss=d3po"}, {"loss=spo"}}) {
    INFO(overrides[0]);
    const Steps given = overrides[0] == "loss=d3po" || overrides[0] == "loss=spo" ? pair_of_steps() : Steps();
    for (const bool by_kl : {false, true}) {
      Steps steps = given;
      Tensor& moved = by_kl ? steps.kl : steps.log_prob;
      const Tensor at = moved.clone();
      moved = at.clone().requires_grad_(true);
      const Tensor loss = run_steps(overrides, steps).loss.sum();
      if (loss.requires_grad()) loss.backward();  // not every loss looks at the KL
      const Tensor gradient = moved.grad().defined() ? moved.grad() : torch::zeros_like(at);
      for (int64_t i = 0; i < at.numel(); ++i) {
        const auto value = [&](double step) {
          moved = at.clone();
          moved[i] += step;
          return only(run_steps(overrides, steps).loss.sum());
        };
        CHECK(only(gradient[i]) == doctest::Approx((value(h) - value(-h)) / (2 * h)).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE(
    "step objective: the KL is that of the two means, the reference is asked without gradients, and equal networks give ratios of 1") {
  const Json scheduler = {{"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"set_alpha_to_one", false}};
  const GaussianStep step(toy_schedule(), scheduler, 1, 1);
  ToyDenoiser network(0.7);
  Policy policy{network};
  const auto draw = [](uint64_t id) { return Generator({5, id, 0, Purpose::test}).normal({2, 4, 4, 4}); };
  MadeSteps batch{.x_t = draw(1),
                  .x_s = draw(2),
                  .t = torch::tensor({500, 20}),
                  .s = torch::tensor({480, -1}),
                  .positive = {{"encoder_hidden_states", torch::zeros({2, 5, 3})}},
                  .negative = {},
                  .advantages = torch::ones({2}),
                  .old_log_prob = {}};
  StepObjective made(objective({"loss=dpok"}), step);
  made.set_reference(std::make_unique<ToyReference>(0.5));
  const StepOutput out = made.evaluate(policy, batch);
  CHECK(torch::equal(out.ratio, torch::ones({2})));
  const auto at = [&](double gain) { return step.transition(gain * batch.x_t, batch.x_t, batch.t, batch.s); };
  const Tensor kl = ((at(0.7).mean - at(0.5).mean).square() / (2 * at(0.7).std.square())).flatten(1).mean(1);
  CHECK(torch::allclose(out.kl, kl));
  out.losses.sum().backward();
  CHECK(network.gain().grad().defined());
  StepObjective same(objective({"loss=d3po"}), step);
  same.set_reference(std::make_unique<ToyReference>(0.7));
  batch.advantages = Tensor();
  CHECK(same.evaluate(policy, batch).losses.item<float>() == doctest::Approx(std::log(2.0)));
  CHECK_THROWS_WITH_AS(same.set_reference(nullptr), doctest::Contains("needs a reference"), UsageError);
}

TEST_CASE("snapshot: the kept values stand in while it is asked, and the present ones are back after it") {
  ToyDenoiser network(0.7);
  network.gain().requires_grad_(true);
  Snapshot snapshot({network.gain()});
  {
    const torch::NoGradGuard no_grad;
    network.gain().add_(0.2);
  }
  {
    const Snapshot::Swapped swapped(snapshot);
    CHECK(network.gain().item<float>() == doctest::Approx(0.7));
  }
  CHECK(network.gain().item<float>() == doctest::Approx(0.9));
  CHECK(network.gain().requires_grad());
  std::map<std::string, Tensor> saved;
  snapshot.save(saved);
  snapshot.take();
  {
    const Snapshot::Swapped swapped(snapshot);
    CHECK(network.gain().item<float>() == doctest::Approx(0.9));
  }
  snapshot.load(saved);
  const Snapshot::Swapped swapped(snapshot);
  CHECK(network.gain().item<float>() == doctest::Approx(0.7));
}
