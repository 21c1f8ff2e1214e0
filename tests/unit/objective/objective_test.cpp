#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/objective/presets.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

TEST_CASE("objective: draws depend on seed, example and draw number, not on the batch") {
  const Objective made = toy_objective({});
  const auto whole = made.draw(toy_pairs({7, 8, 9}, {0, 5, 2}), 3);
  const uint64_t draws[] = {0, 5, 2};
  for (uint64_t i = 0; i < 3; ++i) {
    const auto one = made.draw(toy_pairs({7 + i}, {draws[i]}), 3);
    expect_equal("t", one.t[0], whole.t[static_cast<int64_t>(i)]);
    expect_equal("noise", one.noise[0], whole.noise[static_cast<int64_t>(i)]);
  }
  const auto other_seed = made.draw(toy_pairs({7}), 4), other_draw = made.draw(toy_pairs({7}, {1}), 3);
  CHECK_FALSE(torch::equal(other_seed.noise[0], whole.noise[0]));
  CHECK_FALSE(torch::equal(other_draw.noise[0], whole.noise[0]));
  CHECK(torch::equal(whole.weight, torch::ones({3})));
}

TEST_CASE("objective: uniform timesteps cover their range evenly and no more") {
  const auto timesteps = make_timestep_policy(objective({"t_min=100", "t_max=110"}));
  const auto schedule = toy_schedule();
  std::vector<int> counts(10, 0);
  for (uint64_t i = 0; i < 5000; ++i) {
    Generator generator({0, i, 0, Purpose::timestep});
    const auto step = timesteps->draw(schedule, generator);
    REQUIRE(step.t >= 100);
    REQUIRE(step.t < 110);
    ++counts[static_cast<size_t>(step.t) - 100];
  }
  for (int count : counts) CHECK(std::abs(count - 500) < 110);  // five standard deviations of 21
  Generator generator({0, 0, 0, Purpose::timestep});
  CHECK_THROWS_AS(make_timestep_policy(objective({"t_min=100", "t_max=2000"}))->draw(schedule, generator), UsageError);
}

TEST_CASE("objective: turbo draws its few timesteps evenly") {
  const auto schedule = toy_schedule();
  const auto timesteps = make_timestep_policy(objective({"timesteps=turbo", "turbo_timesteps=[3, 50]"}));
  int first = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    Generator generator({0, i, 0, Purpose::timestep});
    const auto step = timesteps->draw(schedule, generator);
    REQUIRE((step.t == 3 || step.t == 50));
    first += step.t == 3;
  }
  CHECK(std::abs(first - 500) < 80);  // five standard deviations of 16
  Generator generator({0, 0, 0, Purpose::timestep});
  CHECK_THROWS_AS(make_timestep_policy(objective({"timesteps=turbo", "turbo_timesteps=[100000]"}))->draw(schedule, generator), UsageError);
}

TEST_CASE("objective: min-SNR weighs a timestep by min(SNR, gamma) over SNR") {
  // SNR = a / (1 - a) with a the cumulative alpha: far above gamma at small t, where the weight is gamma / SNR, below it at large t, where
  // it is 1.
  const auto schedule = toy_schedule();
  const Batch batch = toy_pairs({1, 2, 3, 4, 5, 6, 7, 8});
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective plain = toy_objective({}), weighed = toy_objective({"snr_gamma=5"});
  const Noising draw = weighed.draw(batch, 0);
  const Tensor share = (weighed.evaluate(policy, batch, draw).losses / plain.evaluate(policy, batch, draw).losses).detach();
  for (int64_t i = 0; i < 8; ++i) {
    const double a = schedule.alphas_cumprod()[draw.t[i].item<int64_t>()].item<float>(), snr = a / (1 - a);
    CHECK(share[i].item<double>() == doctest::Approx(snr > 5 ? 5 / snr : 1));
  }
  const Tensor ends = min_snr_weight(schedule, torch::tensor({int64_t{0}, schedule.steps() - 1}), 5);
  CHECK(ends[0].item<double>() < 0.1);
  CHECK(ends[1].item<double>() == 1);
}

TEST_CASE("objective: an example's own weight multiplies that of its timestep") {
  const Objective made = toy_objective({"snr_gamma=5"});
  Batch batch = toy_pairs({1, 2, 3});
  const Noising plain = made.draw(batch, 0);
  batch.weight = torch::tensor({1.F, 0.25F, 0.F});
  expect_close("weight", made.draw(batch, 0).weight, plain.weight * batch.weight, 1e-6);
}

TEST_CASE("objective: offset noise adds one normal constant a channel, and the draw's own noise stays; for pictures and for videos") {
  for (const bool video : {false, true}) {
    Batch batch = toy_pairs({1, 2}, {0, 1});
    if (video)
      batch.x0 = batch.x0.unsqueeze(2).repeat({1, 1, 4, 1, 1});  // [2B, C, F, h, w] with F = C: an offset on F would not be an error
    const Noising plain = toy_objective({}).draw(batch, 3), offset = toy_objective({"noise_offset=0.1"}).draw(batch, 3);
    expect_equal("t", plain.t, offset.t);
    CHECK(offset.noise.sizes().slice(1) == batch.x0.sizes().slice(1));
    const Tensor added = (offset.noise - plain.noise).flatten(2), constant = added.mean({2}, true);
    expect_close("constant", added, constant.expand_as(added), 1e-5);
    CHECK(constant.std().item<double>() > 0.001);      // not one for all channels
    CHECK(constant.abs().max().item<double>() < 0.6);  // six standard deviations
  }
}

TEST_CASE("objective: a latent of five dimensions goes through noising, error and mean") {
  Batch batch = toy_pairs({1, 2, 3});
  batch.x0 = batch.x0.unsqueeze(2).repeat({1, 1, 3, 1, 1});
  const NoiseSchedule schedule = toy_schedule();
  Objective made = toy_objective({"beta=30"}, 0.5, schedule);
  ToyDenoiser network(0.7);
  Policy policy{network};
  const Noising draw = made.draw(batch, 0);
  const ObjectiveOutput out = made.evaluate(policy, batch, draw);
  const Tensor bar = schedule.alphas_cumprod().index_select(0, draw.t).view({3, 1, 1, 1, 1});
  const Tensor x_t = bar.sqrt() * batch.view(0) + (1 - bar).sqrt() * draw.noise;
  expect_close("d", of_view(out, out.policy, 0), (draw.noise - 0.7 * x_t).square().flatten(1).mean(1), 1e-6);
  CHECK(std::isfinite(out.loss.item<double>()));
}

TEST_CASE("objective: the winner's and loser's errors are those of the formula, from one batch of 2B") {
  // prediction = g x_t, x_t = a x0 + s eps, target eps: d = mean (eps - g (a x0 + s eps))^2.
  const auto schedule = toy_schedule();
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective made = toy_objective({"beta=30"}, 0.5, schedule);
  const Batch batch = toy_pairs({1, 2, 3});
  const Noising draw = made.draw(batch, 0);
  const auto out = made.evaluate(policy, batch, draw);
  CHECK(network.calls == 1);
  CHECK(network.rows == 6);
  const Tensor bar = schedule.alphas_cumprod().index_select(0, draw.t).view({3, 1, 1, 1});
  const auto d = [&](const Tensor& x0, double gain) {
    return (draw.noise - gain * (bar.sqrt() * x0 + (1 - bar).sqrt() * draw.noise)).square().mean({1, 2, 3});
  };
  const Tensor dw = d(batch.view(0), 0.7), dl = d(batch.view(1), 0.7), rw = d(batch.view(0), 0.5), rl = d(batch.view(1), 0.5);
  expect_close("policy, preferred", of_view(out, out.policy, 0), dw, 1e-6);
  expect_close("policy, rejected", of_view(out, out.policy, 1), dl, 1e-6);
  expect_close("reference, preferred", of_view(out, out.reference, 0), rw, 1e-6);
  expect_close("reference, rejected", of_view(out, out.reference, 1), rl, 1e-6);
  CHECK_FALSE(out.reference.requires_grad());
  const Tensor z = -15 * ((dw - dl) - (rw - rl));
  expect_close("logits", out.terms.logits, z, 1e-5);
  expect_close("loss", out.loss, -at::log_sigmoid(z).mean(), 1e-5);
  out.loss.backward();
  CHECK(network.gain().grad().abs().item<double>() > 0);
}

TEST_CASE("objective: metrics have their names and values") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective made = toy_objective({"beta=30"});
  const Batch batch = toy_pairs({1, 2, 3, 4});
  const auto out = made.evaluate(policy, batch, made.draw(batch, 0));
  const auto& m = out.metrics;
  CHECK(m.at("loss") == doctest::Approx(out.loss.item<double>()));
  CHECK(m.at("inside_term") == doctest::Approx(out.terms.logits.mean().item<double>()));
  CHECK(m.at("implicit_acc") == doctest::Approx(out.terms.logits.gt(0).to(torch::kFloat32).mean().item<double>()));
  CHECK(m.at("rewards/margins") == doctest::Approx(m.at("rewards/chosen") - m.at("rewards/rejected")).epsilon(1e-4));
  CHECK(m.at("rewards/margins") == doctest::Approx(m.at("inside_term")).epsilon(1e-4));
  CHECK(m.at("w_diff") == doctest::Approx(m.at("model_w_err") - m.at("ref_w_err")).epsilon(1e-4));
  CHECK(m.at("l_diff") == doctest::Approx(m.at("model_l_err") - m.at("ref_l_err")).epsilon(1e-4));
  // Policy = reference: every z is a tie, which counts one half, and TRL's strict accuracy is 0.
  Objective same = toy_objective({}, 0.7);
  const auto tie = same.evaluate(policy, batch, same.draw(batch, 0));
  CHECK(tie.metrics.at("implicit_acc") == 0.5);
  CHECK(tie.metrics.at("rewards/accuracies") == 0);
  CHECK(tie.metrics.at("loss") == doctest::Approx(std::log(2.0)));
}

TEST_CASE("objective: sft runs neither losers nor a reference, on pairs and on single pictures") {
  for (const bool single : {false, true}) {
    ToyDenoiser network(0.7);
    Policy policy{network};
    Objective made = toy_objective({"loss=sft", "reference=none"}, -1);
    const Batch pairs = toy_pairs({1, 2}), batch = single ? pairs.first_view() : pairs;
    const auto out = made.evaluate(policy, batch, made.draw(batch, 0));
    CHECK(network.rows == 2);
    CHECK(out.views == 1);
    expect_equal("loss", out.loss.detach(), out.policy.mean());
    CHECK(out.metrics.count("implicit_acc") == 0);
  }
}

TEST_CASE("objective: the gradient over two halves is the gradient over the whole batch") {
  Objective made = toy_objective({"beta=30"});
  const auto gradient = [&](const std::vector<std::vector<uint64_t>>& parts) {
    ToyDenoiser network(0.7);
    Policy policy{network};
    for (const auto& ids : parts) {
      const Batch batch = toy_pairs(ids, std::vector<uint64_t>(ids.size(), 2));
      (made.evaluate(policy, batch, made.draw(batch, 0)).loss / static_cast<double>(parts.size())).backward();
    }
    return network.gain().grad().clone();
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
  CHECK_FALSE(needs_of(copy).reference);
  CHECK(needs_of(first).reference);
}

TEST_CASE("objective config: mistakes are named") {
  CHECK_THROWS_WITH_AS(objective({"loss=dop"}), doctest::Contains("dpo"), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"reference=none"}), doctest::Contains("compares with a reference"), ConfigError);
  CHECK_THROWS_WITH_AS(objective({"bta=3"}), doctest::Contains("beta"), ConfigError);
  CHECK_THROWS_AS(objective({"label_smoothing=0.6"}), ConfigError);
  ObjectiveConfig wrong;
  wrong.loss = "dpp";
  CHECK_THROWS_WITH_AS(make_loss(wrong), doctest::Contains("dpo"), UsageError);
  CHECK_THROWS_WITH_AS(toy_objective({}, -1), doctest::Contains("needs a reference"), UsageError);
  // A key that only another member reads is no key of this one, but what a complete file of it says anyway does no harm.
  CHECK_THROWS_WITH_AS(objective({"loss=sft", "reference=none", "beta=100"}),
                       doctest::Contains("beta is a key of loss = \"dpo\", but loss is \"sft\""), ConfigError);
  CHECK_NOTHROW(objective({"loss=sft", "reference=none", "beta=5000", "feedback=pair"}));
  CHECK_THROWS_WITH_AS(objective({"feedback=single"}), doctest::Contains("feedback is no key any more: data.pairs or data.images says"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(make_reference(objective({}), {}), doctest::Contains("has no adapters"), UsageError);
}

TEST_CASE("presets: they say what they minimise, from where and what goes wrong; their objective's keys are all known") {
  for (const auto& preset : all_presets()) {
    INFO(preset.name);
    for (const auto& text : {preset.summary, preset.formula, preset.sources, preset.pitfalls}) {
      CHECK(text.size() > 20);
      CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
    }
    std::vector<std::string> overrides;
    for (const auto& text : preset.overrides) {
      if (text.starts_with("objective.")) overrides.push_back(text.substr(10));
    }
    CHECK(preset.overrides.size() >= 3);
    REQUIRE_NOTHROW(objective(overrides));
    // palate step takes a name that is both for the loss.
    const auto names = names_of(losses());
    CHECK((std::find(names.begin(), names.end(), preset.name) == names.end() || objective(overrides).loss == preset.name));
  }
  CHECK_THROWS_WITH_AS(preset_overrides("diffusion-dpo-lor"), doctest::Contains("did you mean 'diffusion-dpo-lora'"), UsageError);
}
