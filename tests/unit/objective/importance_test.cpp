// The importance weight of a denoising step, and the two losses with it, by hand. Errors as in dpo_test.cpp: d_w = 0.30, d_l = 0.50,
// r_w = 0.32, r_l = 0.49, so g_w = 0.02, g_l = -0.01; with beta = 100, k = 50, dpo's z is 1.5. The weights are given: w_w = 0.95, w_l =
// 0.92.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/diffusion/rectified_flow.h"
#include "palate/objective/importance.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/errors.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

// Pairs whose pictures have given weights: the output's residual is the constant c with exp(-1/2 omega c^2) = w.
struct Weighed {
  Weighed(const std::vector<double>& win, const std::vector<double>& lose, const std::vector<double>& of_reference = {}) {
    const auto pairs = static_cast<int64_t>(win.size());
    batch.views = 2;
    batch.visits.resize(win.size());
    batch.label = torch::ones({pairs}, torch::kFloat64);
    noised.t = torch::full({2 * pairs}, 500, torch::kInt64);
    noised.previous_t = torch::full({2 * pairs}, 480, torch::kInt64);
    noised.process = &toy_schedule();
    omega = value(noised.process->omega(noised.t, noised.previous_t)[0]);
    std::vector<double> all = win;
    all.insert(all.end(), lose.begin(), lose.end());
    policy = {.d = at::cat({torch::full({pairs}, 0.30, torch::kFloat64), torch::full({pairs}, 0.50, torch::kFloat64)}),
              .residual = {},
              .output = residual(all)};
    reference = {.d = at::cat({torch::full({pairs}, 0.32, torch::kFloat64), torch::full({pairs}, 0.49, torch::kFloat64)}),
                 .residual = {},
                 .output = of_reference.empty() ? Tensor() : residual(of_reference)};
  }
  Tensor residual(const std::vector<double>& weights) const {
    return (torch::tensor(weights, torch::kFloat64).log() * (-2 / omega)).sqrt().view({-1, 1, 1, 1}).expand({-1, 4, 2, 2});
  }
  LossOutput run(const std::string& loss, std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.begin(), {"loss=" + loss, "beta=100"});
    return (*make_loss(objective(overrides)))({policy, reference, batch, noised}, {});
  }
  Branch policy, reference;
  Batch batch;
  Noised noised;
  double omega = 0;
};

struct Picture {
  const NoiseProcess& process;
  Tensor t, s;
};

}  // namespace

TEST_CASE("importance: log w is the difference of two Gaussian log densities, a mean over dimensions, in every parameterisation") {
  const RectifiedFlow flow(Json{{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}});
  const Tensor t = torch::tensor({40, 500, 900}), s = torch::tensor({20, 480, 600});
  const Picture pictures[] = {{toy_schedule(), t, s},
                              {toy_schedule("v_prediction"), t, s},
                              {toy_schedule("sample"), t, s},
                              {flow, t.to(torch::kFloat32), s.to(torch::kFloat32)}};
  for (const auto& [process, from, to] : pictures) {
    CAPTURE(prediction_name(process.prediction()));
    const auto normal = [&](uint64_t id) { return Generator({5, id, 0, Purpose::test}).normal({3, 4, 8, 8}); };
    Noised noised{.x0 = normal(1), .noise = normal(2), .x_t = {}, .target = {}, .t = from, .step_noise = normal(3), .previous_t = to};
    noised.process = &process;
    noised.x_t = process.add_noise(noised.x0, noised.noise, from);
    noised.target = process.target(noised.x0, noised.noise, from);
    const Tensor prediction = noised.target + 0.1 * normal(4) + 0.05 * noised.step_noise;  // an error that is not independent of z
    const StepMoments posterior = process.step(noised.target, noised.x_t, from, to, 1),
                      model = process.step(prediction, noised.x_t, from, to, 1);
    const auto log_density = [](const Tensor& x, const StepMoments& moments) {
      return (-0.5 * ((x - moments.mean) / moments.std).square() - moments.std.log()).to(torch::kFloat64).flatten(1).mean(1);
    };
    const Branch branch{.d = {}, .residual = {}, .output = prediction - noised.target};
    const Tensor x_s = posterior.mean + posterior.std * noised.step_noise;
    expect_close("sampled", log_importance(branch, noised, true), log_density(x_s, model) - log_density(x_s, posterior), 2e-4);
    // The mean over z: minus the KL of two Gaussians of one variance.
    const Tensor kl = 0.5 * ((posterior.mean - model.mean) / posterior.std).square().flatten(1).mean(1);
    expect_close("expected", log_importance(branch, noised), -kl, 2e-4);
    CHECK(log_importance(branch, noised).lt(0).all().item<bool>());
  }
}

TEST_CASE("importance: on SD's schedule, steps of 20 and an epsilon error of 0.3, it is low at little noise alone") {
  // docs/objectives.md, section 3. With steps of one timestep it would mask nothing: above 0.99 from t = 20 on.
  const std::pair<int64_t, double> table[] = {{20, 0.04}, {30, 0.74}, {40, 0.85}, {63, 0.92}, {100, 0.95}, {400, 0.98}, {999, 0.96}};
  for (const auto& [t, expected] : table) {
    CAPTURE(t);
    Noised noised{.x0 = {}, .noise = {}, .x_t = {}, .target = {}, .t = torch::tensor({t}), .previous_t = torch::tensor({t - 20})};
    noised.process = &toy_schedule();
    const Branch branch{.d = {}, .residual = {}, .output = torch::full({1, 4, 8, 8}, std::sqrt(0.3))};
    CHECK(std::abs(value(importance_weight(log_importance(branch, noised))) - expected) <= 0.005);
    noised.previous_t = torch::tensor({t - 1});
    CHECK(value(importance_weight(log_importance(branch, noised))) > 0.99);
  }
}

TEST_CASE("importance: what is no number weighs nothing") {
  const Tensor w = importance_weight(torch::tensor({0.F, NAN, -INFINITY}));
  CHECK(torch::equal(w, torch::tensor({1.F, 0.F, 0.F})));
}

TEST_CASE("dpo-cm: the smaller weight stands before the loss") {
  const auto out = Weighed({0.95}, {0.92}).run("dpo-cm");
  CHECK(value(out.logits) == doctest::Approx(1.5));
  CHECK(value(out.loss) == doctest::Approx(-0.92 * log_sigmoid(1.5)));
  CHECK(value(out.shown.at("weight_win")) == doctest::Approx(0.95));
  CHECK(value(out.shown.at("weight_lose")) == doctest::Approx(0.92));
  CHECK(value(out.shown.at("mask")) == 1);
  CHECK(value(out.terms.at("weight")) == doctest::Approx(0.92));
  CHECK(value(out.terms.at("importance")) == doctest::Approx(0.92));
  CHECK(value(out.terms.at("masked")) == 0);
  CHECK(value(out.terms.at("clipped")) == 0);
  CHECK(value(out.reward[0]) == doctest::Approx(1.0));  // as dpo's
  CHECK(value(out.reward[1]) == doctest::Approx(-0.5));
}

TEST_CASE("sdpo: each weight stands before its own picture's gain") {
  // 50 (0.95 * 0.02 + 0.92 * 0.01) = 1.41
  const auto out = Weighed({0.95}, {0.92}).run("sdpo");
  CHECK(value(out.logits) == doctest::Approx(1.41));
  CHECK(value(out.loss) == doctest::Approx(-log_sigmoid(1.41)));
  CHECK(value(out.terms.at("weight")) == doctest::Approx(0.935));
  CHECK(value(out.reward[0]) == doctest::Approx(1.0));
}

TEST_CASE("dpo-cm and sdpo: the name is a default, and every switch is of both; weights of 1 are dpo") {
  const Weighed pair({0.95}, {0.92});
  CHECK(value(pair.run("dpo-cm", {"weight=inside"}).loss) == value(pair.run("sdpo").loss));
  CHECK(value(pair.run("sdpo", {"weight=outside"}).loss) == value(pair.run("dpo-cm").loss));
  for (const char* loss : {"dpo-cm", "sdpo"}) {
    const Weighed even({1}, {1});
    const double dpo =
        value((*make_loss(objective({"loss=dpo", "beta=100"})))({even.policy, even.reference, even.batch, even.noised}, {}).loss);
    CHECK(value(even.run(loss).loss) == doctest::Approx(dpo).epsilon(1e-12));
    CHECK(value(pair.run(loss, {"clip=0"}).loss) == doctest::Approx(dpo).epsilon(1e-12));  // [1, 1]
    CHECK(value(pair.run(loss, {"beta=50", "beta_convention=diffusers"}).loss) ==
          doctest::Approx(value(pair.run(loss).loss)).epsilon(1e-12));
    CHECK(value(pair.run(loss, {"beta=0.1", "beta_convention=per-T"}).loss) == doctest::Approx(value(pair.run(loss).loss)).epsilon(1e-12));
  }
}

TEST_CASE("dpo-cm and sdpo: pairs below the threshold are masked, and the loss is divided by those that are left, or by 1") {
  for (const char* loss : {"dpo-cm", "sdpo"}) {
    const auto out = Weighed({0.95, 0.99, 0.80}, {0.92, 0.85, 0.99}).run(loss);
    CHECK(torch::equal(out.shown.at("mask"), torch::tensor({1.0, 0.0, 0.0}, torch::kFloat64)));
    CHECK(value(out.count) == 1);
    CHECK(value(out.loss[1]) == 0);
    CHECK(value(out.terms.at("masked").mean()) == doctest::Approx(2.0 / 3));
    const auto none = Weighed({0.95}, {0.89}).run(loss);
    CHECK(value(none.loss) == 0);
    CHECK(value(none.count) == 1);
    CHECK(value(Weighed({0.95, 0.95}, {0.92, 0.92}).run(loss).count) == 2);
    CHECK(value(Weighed({0.5}, {0.4}).run(loss, {"threshold=0"}).shown.at("mask")) == 1);
  }
}

TEST_CASE("dpo-cm and sdpo: a quantile masks the lowest of the pass's own pairs") {
  // Of 0.91, 0.50, 0.99, 0.97 the quarter quantile lies at 0.75 of the way from 0.50 to 0.91.
  const std::vector<double> weights = {0.91, 0.50, 0.99, 0.97}, ones(4, 0.995);
  const auto out = Weighed(weights, ones).run("dpo-cm", {"quantile=0.25"});
  CHECK(torch::equal(out.shown.at("mask"), torch::tensor({1.0, 0.0, 1.0, 1.0}, torch::kFloat64)));
  CHECK(value(out.count) == 3);
  CHECK(value(Weighed({0.3}, {0.3}).run("dpo-cm", {"quantile=0.25"}).shown.at("mask")) == 1);  // one pair is its own quantile
}

TEST_CASE("dpo-cm and sdpo: weights are clipped to [1 - clip, 1 + clip], and the clipped share counts what is not masked") {
  const auto out = Weighed({0.97, 0.30}, {0.92, 0.99}).run("sdpo", {"clip=0.05"});
  CHECK(value(out.shown.at("weight_win")[0]) == doctest::Approx(0.97));
  CHECK(value(out.shown.at("weight_lose")[0]) == doctest::Approx(0.95));
  CHECK(value(out.logits[0]) == doctest::Approx(50 * (0.97 * 0.02 + 0.95 * 0.01)));
  CHECK(value(out.terms.at("clipped")[0]) == 0.5);
  CHECK(value(out.terms.at("clipped")[1]) == 0);  // masked
  CHECK(value(out.terms.at("importance")[1]) == doctest::Approx(0.30));
}

TEST_CASE("dpo-cm and sdpo: against the reference's step in place of the posterior's") {
  // w = 0.95 / 0.98 and 0.92 / 0.90, the second above 1.
  const Weighed pair({0.95}, {0.92}, {0.98, 0.90});
  const auto out = pair.run("sdpo", {"ratio=reference"});
  CHECK(value(out.shown.at("weight_win")) == doctest::Approx(0.95 / 0.98));
  CHECK(value(out.shown.at("weight_lose")) == doctest::Approx(0.92 / 0.90));
  CHECK(value(pair.run("sdpo", {"ratio=reference", "clip=0.01"}).shown.at("weight_lose")) == doctest::Approx(1.01));
  CHECK(make_loss(objective({"loss=sdpo", "ratio=reference"}))->needs().reference_output);
  CHECK_FALSE(make_loss(objective({"loss=sdpo"}))->needs().reference_output);
}

TEST_CASE("dpo-cm and sdpo: at a sampled step the noise tilts the weight") {
  // Epsilon: log w = -1/2 omega c^2 + sqrt(omega) <z, e> with e = -c: a z of the residual's direction makes the step less likely.
  Weighed pair({0.95}, {0.92});
  const double root = std::sqrt(pair.omega), c_w = std::sqrt(-2 * std::log(0.95)) / root, c_l = std::sqrt(-2 * std::log(0.92)) / root;
  pair.noised.step_noise = at::cat({torch::full({1, 4, 2, 2}, 0.1, torch::kFloat64), torch::full({1, 4, 2, 2}, -0.2, torch::kFloat64)});
  const auto out = pair.run("sdpo", {"importance=sampled", "threshold=0"});
  CHECK(value(out.terms.at("importance")) == doctest::Approx(0.95 * std::exp(-0.1 * root * c_w)).epsilon(1e-6));
  CHECK(value(out.shown.at("weight_lose")) == doctest::Approx(0.92 * std::exp(0.2 * root * c_l)).epsilon(1e-6));
  CHECK(make_loss(objective({"loss=sdpo", "importance=sampled"}))->needs().step_noise);
  CHECK_FALSE(make_loss(objective({"loss=sdpo"}))->needs().step_noise);
}

TEST_CASE("dpo-cm and sdpo: soft labels, label smoothing, margin and anchor as in dpo") {
  Weighed pair({0.95}, {0.92});
  pair.batch.label = torch::tensor({0.7}, torch::kFloat64);
  // P' = 0.7 * 0.8 + 0.3 * 0.2 = 0.62
  CHECK(value(pair.run("dpo-cm", {"label_smoothing=0.2"}).loss) ==
        doctest::Approx(0.92 * (-0.62 * log_sigmoid(1.5) - 0.38 * log_sigmoid(-1.5))));
  CHECK(value(pair.run("sdpo").loss) == doctest::Approx(-0.7 * log_sigmoid(1.41) - 0.3 * log_sigmoid(-1.41)));
  // A margin is subtracted from z; the anchor 0.7 * 0.30 + 0.3 * 0.50 = 0.36 is masked, but not weighed.
  CHECK(value(pair.run("sdpo", {"margin=1"}).logits) == doctest::Approx(0.41));
  const double plain = value(pair.run("dpo-cm").loss);
  CHECK(value(pair.run("dpo-cm", {"anchor=2"}).loss) == doctest::Approx(plain + 0.72));
  CHECK(value(pair.run("dpo-cm", {"anchor=2", "threshold=0.93"}).loss) == 0);
}

TEST_CASE("dpo-cm and sdpo: autograd equals finite differences, and the weights carry no gradient") {
  for (const char* loss : {"dpo-cm", "sdpo"}) {
    CAPTURE(loss);
    const auto at = [&](double dw, double dl, bool gradient = false) {
      Weighed pair({0.95}, {0.92});
      pair.policy.d = torch::tensor({dw, dl}, torch::kFloat64).requires_grad_(gradient);
      const Tensor sum = pair.run(loss, {"label_smoothing=0.1"}).loss.sum();
      if (gradient) sum.backward();
      return std::pair{value(sum), pair.policy.d.grad()};
    };
    const Tensor gradient = at(0.30, 0.50, true).second;
    const double h = 1e-6;
    CHECK(value(gradient[0]) == doctest::Approx((at(0.30 + h, 0.50).first - at(0.30 - h, 0.50).first) / (2 * h)).epsilon(1e-6));
    CHECK(value(gradient[1]) == doctest::Approx((at(0.30, 0.50 + h).first - at(0.30, 0.50 - h).first) / (2 * h)).epsilon(1e-6));
  }
}

TEST_CASE("dpo-cm and sdpo: in the objective the step is the sampler's, and the loss is over what is not masked") {
  const Batch batch = toy_pairs({1, 2, 3, 4, 5, 6});
  for (const std::string prediction : {"epsilon", "v_prediction"}) {
    const auto& schedule = toy_schedule(prediction);
    ToyDenoiser network(0.9);
    Policy policy{network};
    Objective made = toy_objective({"loss=dpo-cm", "beta=30", "sampler_steps=10"}, 0.5, schedule);
    Noising noising = made.draw(batch, 0);
    noising.t = torch::tensor({30, 150, 400, 600, 800, 999});
    const auto out = made.evaluate(policy, batch, noising);
    const Tensor omega = schedule.omega(noising.t, (noising.t - 100).clamp_min(0));
    const Tensor w_w = (-0.5 * omega * of_view(out, out.policy, 0)).exp(), w_l = (-0.5 * omega * of_view(out, out.policy, 1)).exp();
    const Tensor least = at::minimum(w_w, w_l), mask = least.ge(0.9).to(torch::kFloat32);
    const double left = value(mask.sum());
    CHECK(left > 0);
    CHECK(left < 6);
    const Tensor gain = out.reference - out.policy, z = 15 * (of_view(out, gain, 0) - of_view(out, gain, 1));
    const Tensor losses = mask * least.clamp_min(0.9) * -at::log_sigmoid(z);
    expect_close("losses", out.losses, losses, 1e-5);
    expect_close("loss", out.loss, losses.sum() / left, 1e-5);
    CHECK(out.metrics.at("masked") == doctest::Approx(1 - left / 6));
    CHECK(out.metrics.at("clipped") == 0);
  }
}

TEST_CASE("dpo-cm and sdpo: a cached reference serves the posterior's ratio alone") {
  struct Errors : ToyReference {
    using ToyReference::ToyReference;
    bool gives_residuals() const override { return false; }
  };
  const auto set = [](const std::vector<std::string>& overrides) {
    Objective made(objective(overrides), {.process = toy_schedule(), .frozen = {}});
    made.set_reference(std::make_unique<Errors>(0.5));
  };
  CHECK_NOTHROW(set({"loss=sdpo", "importance=sampled"}));
  CHECK_THROWS_WITH_AS(set({"loss=sdpo", "ratio=reference"}), doctest::Contains("compares predictions"), UsageError);
}
