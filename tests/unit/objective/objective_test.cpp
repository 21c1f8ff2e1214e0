#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/objective/noising.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace palate::test {

std::pair<Tensor, Tensor> ToyReference::errors(const Request& r) {
  const torch::NoGradGuard no_grad;
  return branch_errors(network, r.batch, r.draw, r.schedule, r.space, r.with_loser);
}

}  // namespace palate::test

TEST_CASE("objective: draws depend on seed, pair and draw number, not on the batch") {
  const auto config = objective({});
  const auto made = make_objective(config, toy_schedule(), std::make_unique<ToyReference>(0.5));
  const auto whole = made->draw(toy_pairs({7, 8, 9}), {0, 5, 2}, 3);
  const uint64_t draws[] = {0, 5, 2};
  for (uint64_t i = 0; i < 3; ++i) {
    const auto one = made->draw(toy_pairs({7 + i}), {draws[i]}, 3);
    expect_equal("t", one.t[0], whole.t[static_cast<int64_t>(i)]);
    expect_equal("noise", one.noise[0], whole.noise[static_cast<int64_t>(i)]);
  }
  const auto other_seed = made->draw(toy_pairs({7}), {0}, 4), other_draw = made->draw(toy_pairs({7}), {1}, 3);
  CHECK_FALSE(torch::equal(other_seed.noise[0], whole.noise[0]));
  CHECK_FALSE(torch::equal(other_draw.noise[0], whole.noise[0]));
  CHECK(torch::equal(whole.weight, torch::ones({3})));
}

TEST_CASE("objective: uniform timesteps cover their range evenly and no more") {
  const auto config = objective({"t_min=100", "t_max=110"});
  const auto schedule = toy_schedule();
  std::vector<int> counts(10, 0);
  for (uint64_t i = 0; i < 5000; ++i) {
    Generator generator({0, i, 0, Purpose::timestep});
    const auto step = config.timestep_member->draw(schedule, generator);
    REQUIRE(step.t >= 100);
    REQUIRE(step.t < 110);
    ++counts[static_cast<size_t>(step.t - 100)];
  }
  for (int count : counts) CHECK(std::abs(count - 500) < 110);  // five standard deviations of 21
  Generator generator({0, 0, 0, Purpose::timestep});
  CHECK_THROWS_AS(objective({"t_min=100", "t_max=2000"}).timestep_member->draw(schedule, generator), UsageError);
}

TEST_CASE("objective: turbo draws its few timesteps evenly") {
  const auto schedule = toy_schedule();
  const auto config = objective({"timesteps=turbo", "turbo_timesteps=[3, 50]"});
  int first = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    Generator generator({0, i, 0, Purpose::timestep});
    const auto step = config.timestep_member->draw(schedule, generator);
    REQUIRE((step.t == 3 || step.t == 50));
    first += step.t == 3;
  }
  CHECK(std::abs(first - 500) < 80);  // five standard deviations of 16
  Generator generator({0, 0, 0, Purpose::timestep});
  CHECK_THROWS_AS(objective({"timesteps=turbo", "turbo_timesteps=[100000]"}).timestep_member->draw(schedule, generator), UsageError);
}

TEST_CASE("objective: min-SNR weighs a timestep by min(SNR, gamma) over SNR") {
  // SNR = a / (1 - a) with a the cumulative alpha: far above gamma at small t, where the weight is gamma / SNR, below it at large t, where
  // it is 1.
  const auto schedule = toy_schedule();
  const auto made = make_objective(objective({"snr_gamma=5"}), schedule, std::make_unique<ToyReference>(0.5));
  const Draw draw = made->draw(toy_pairs({1, 2, 3, 4, 5, 6, 7, 8}), std::vector<uint64_t>(8), 0);
  for (int64_t i = 0; i < 8; ++i) {
    const double a = schedule.alphas_cumprod()[draw.t[i].item<int64_t>()].item<float>(), snr = a / (1 - a);
    CHECK(draw.weight[i].item<double>() == doctest::Approx(snr > 5 ? 5 / snr : 1));
  }
  CHECK(min_snr_weight(schedule, 0, 5) < 0.1);
  CHECK(min_snr_weight(schedule, schedule.steps() - 1, 5) == 1);
}

TEST_CASE("objective: an example's own weight multiplies that of its timestep") {
  const auto made = make_objective(objective({"snr_gamma=5"}), toy_schedule(), std::make_unique<ToyReference>(0.5));
  PairBatch batch = toy_pairs({1, 2, 3});
  const Draw plain = made->draw(batch, {0, 0, 0}, 0);
  batch.weights = {1, 0.25F, 0};
  expect_close("weight", made->draw(batch, {0, 0, 0}, 0).weight, plain.weight * torch::tensor(batch.weights), 1e-6);
}

TEST_CASE("objective: offset noise adds one normal constant a channel, and the draw's own noise stays") {
  const auto schedule = toy_schedule();
  const PairBatch batch = toy_pairs({1, 2});
  const auto plain = make_objective(objective({}), schedule, std::make_unique<ToyReference>(0.5))->draw(batch, {0, 1}, 3);
  const auto offset =
      make_objective(objective({"noise_offset=0.1"}), schedule, std::make_unique<ToyReference>(0.5))->draw(batch, {0, 1}, 3);
  expect_equal("t", plain.t, offset.t);
  const Tensor added = offset.noise - plain.noise, constant = added.mean({2, 3}, true);
  expect_close("constant", added, constant.expand_as(added), 1e-5);
  CHECK(constant.abs().max().item<double>() > 0.001);
  CHECK(constant.abs().max().item<double>() < 0.6);  // six standard deviations
}

TEST_CASE("objective: the winner's and loser's errors are those of the formula, from one batch of 2B") {
  // prediction = g x_t, x_t = a x0 + s eps, target eps: d = mean (eps - g (a x0 + s eps))^2.
  const auto schedule = toy_schedule();
  ToyDenoiser policy(0.7);
  const auto made = make_objective(objective({"beta=30"}), schedule, std::make_unique<ToyReference>(0.5));
  const PairBatch batch = toy_pairs({1, 2, 3});
  const Draw draw = made->draw(batch, {0, 0, 0}, 0);
  const auto out = made->evaluate(policy, batch, draw, {0, 0, 0});
  CHECK(policy.calls == 1);
  CHECK(policy.rows == 6);
  const Tensor bar = schedule.alphas_cumprod().index_select(0, draw.t).view({3, 1, 1, 1});
  const auto d = [&](const Tensor& x0, double gain) {
    return (draw.noise - gain * (bar.sqrt() * x0 + (1 - bar).sqrt() * draw.noise)).square().mean({1, 2, 3});
  };
  const Tensor dw = d(batch.latents_win, 0.7), dl = d(batch.latents_lose, 0.7), rw = d(batch.latents_win, 0.5),
               rl = d(batch.latents_lose, 0.5);
  expect_close("policy_win", out.errors.policy_win, dw, 1e-6);
  expect_close("policy_lose", out.errors.policy_lose, dl, 1e-6);
  expect_close("reference_win", out.errors.reference_win, rw, 1e-6);
  expect_close("reference_lose", out.errors.reference_lose, rl, 1e-6);
  CHECK_FALSE(out.errors.reference_win.requires_grad());
  const Tensor z = -15 * ((dw - dl) - (rw - rl));
  expect_close("logits", out.terms.logits, z, 1e-5);
  expect_close("loss", out.loss, -at::log_sigmoid(z).mean(), 1e-5);
  out.loss.backward();
  CHECK(policy.gain().grad().abs().item<double>() > 0);
}

TEST_CASE("objective: metrics have their names and values") {
  ToyDenoiser policy(0.7);
  const auto made = make_objective(objective({"beta=30"}), toy_schedule(), std::make_unique<ToyReference>(0.5));
  const PairBatch batch = toy_pairs({1, 2, 3, 4});
  const auto out = made->evaluate(policy, batch, made->draw(batch, {0, 0, 0, 0}, 0), {0, 0, 0, 0});
  const auto& m = out.metrics;
  CHECK(m.at("loss") == doctest::Approx(out.loss.item<double>()));
  CHECK(m.at("inside_term") == doctest::Approx(out.terms.logits.mean().item<double>()));
  CHECK(m.at("implicit_acc") == doctest::Approx(out.terms.logits.gt(0).to(torch::kFloat32).mean().item<double>()));
  CHECK(m.at("rewards/margins") == doctest::Approx(m.at("rewards/chosen") - m.at("rewards/rejected")).epsilon(1e-4));
  CHECK(m.at("rewards/margins") == doctest::Approx(m.at("inside_term")).epsilon(1e-4));
  CHECK(m.at("w_diff") == doctest::Approx(m.at("model_w_err") - m.at("ref_w_err")).epsilon(1e-4));
  CHECK(m.at("l_diff") == doctest::Approx(m.at("model_l_err") - m.at("ref_l_err")).epsilon(1e-4));
  // Policy = reference: every z is a tie, which counts one half, and TRL's strict accuracy is 0.
  const auto same = make_objective(objective({}), toy_schedule(), std::make_unique<ToyReference>(0.7));
  const auto tie = same->evaluate(policy, batch, same->draw(batch, {0, 0, 0, 0}, 0), {0, 0, 0, 0});
  CHECK(tie.metrics.at("implicit_acc") == 0.5);
  CHECK(tie.metrics.at("rewards/accuracies") == 0);
  CHECK(tie.metrics.at("loss") == doctest::Approx(std::log(2.0)));
}

TEST_CASE("objective: sft runs neither losers nor a reference") {
  ToyDenoiser policy(0.7);
  const auto made = make_objective(objective({"loss=sft", "reference=none"}), toy_schedule(), nullptr);
  PairBatch batch = toy_pairs({1, 2});
  batch.latents_lose = Tensor();
  const auto out = made->evaluate(policy, batch, made->draw(batch, {0, 0}, 0), {0, 0});
  CHECK(policy.rows == 2);
  CHECK_FALSE(out.errors.policy_lose.defined());
  expect_equal("loss", out.loss, out.errors.policy_win.mean());
  CHECK(out.metrics.count("implicit_acc") == 0);
}

TEST_CASE("objective: the gradient over two halves is the gradient over the whole batch") {
  const auto made = make_objective(objective({"beta=30"}), toy_schedule(), std::make_unique<ToyReference>(0.5));
  const auto gradient = [&](const std::vector<std::vector<uint64_t>>& parts) {
    ToyDenoiser policy(0.7);
    for (const auto& ids : parts) {
      const PairBatch batch = toy_pairs(ids);
      const std::vector<uint64_t> draws(ids.size(), 2);
      (made->evaluate(policy, batch, made->draw(batch, draws, 0), draws).loss / static_cast<double>(parts.size())).backward();
    }
    return policy.gain().grad().clone();
  };
  expect_close("gain", gradient({{1, 2}, {3, 4}}), gradient({{1, 2, 3, 4}}), 1e-5);
}

TEST_CASE("objective config: constants of the chosen members are keys of one table") {
  auto config = objective({"loss_type=ipo", "beta=123", "t_min=10"});
  const std::string text = config_to_toml([&](Fields& f) { config.visit(f); });
  CHECK(text.find("beta = 123") != std::string::npos);
  CHECK(text.find("loss_type = \"ipo\"") != std::string::npos);
  CHECK(text.find("t_min = 10") != std::string::npos);
  // Its own text gives it back.
  ObjectiveConfig again;
  load_config({.file_name = "x.toml", .file_text = text, .overrides = {}}, [&](Fields& f) { again.visit(f); });
  CHECK(config_to_toml([&](Fields& f) { again.visit(f); }) == text);
}

TEST_CASE("objective config: a copy has constants of its own") {
  auto first = objective({"beta=123"});
  auto copy = first;
  load_config({.file_name = "", .file_text = "", .overrides = {"beta=7"}}, [&](Fields& f) { copy.visit(f); });
  const auto text = [](ObjectiveConfig& config) { return config_to_toml([&](Fields& f) { config.visit(f); }); };
  CHECK(text(first).find("beta = 123") != std::string::npos);
  CHECK(text(copy).find("beta = 7") != std::string::npos);
  copy.loss = "sft";  // set by a program, not by a visitor
  copy.build();
  CHECK_FALSE(copy.loss_member->needs_reference());
  CHECK(first.loss_member->needs_reference());
}

TEST_CASE("objective config: mistakes are named") {
  CHECK_THROWS_WITH_AS(objective({"loss=dop"}), doctest::Contains("dpo"), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"reference=none"}), doctest::Contains("compares with a reference"), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"bta=3"}), doctest::Contains("beta"), ConfigError);
  CHECK_THROWS_AS(objective({"label_smoothing=0.6"}), ConfigError);
  CHECK_THROWS_WITH_AS(make_loss("dpp"), doctest::Contains("dpo"), UsageError);
  CHECK_THROWS_WITH_AS(make_objective(objective({}), toy_schedule(), nullptr), doctest::Contains("needs a reference"), UsageError);
  CHECK_THROWS_WITH_AS(make_reference(objective({}), {}), doctest::Contains("has no adapters"), UsageError);
}

TEST_CASE("presets: their objective's keys are all known, and an unknown preset is told the nearest") {
  for (const auto& preset : presets()) {
    std::vector<std::string> overrides;
    for (const auto& text : preset_overrides(preset.name)) {
      if (text.starts_with("objective.")) overrides.push_back(text.substr(10));
    }
    INFO(preset.name);
    CHECK(overrides.size() >= 3);
    CHECK_NOTHROW(objective(overrides));
  }
  CHECK_THROWS_WITH_AS(preset_overrides("diffusion-dpo-lor"), doctest::Contains("did you mean 'diffusion-dpo-lora'"), UsageError);
}
