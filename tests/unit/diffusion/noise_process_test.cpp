// The algebra of both kinds of forward process, by hand: levels, targets, steps back, and what a step loses of the posterior.
#include "palate/diffusion/noise_process.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/diffusion/rectified_flow.h"
#include "palate/diffusion/sampler.h"
#include "palate/diffusion/schedule.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"

using namespace palate;
using palate::test::draw;

namespace {

const Json sd = {{"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"clip_sample", false}};
const Json flow = {{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}};

Json predicting(const char* name) {
  Json config = sd;
  config["prediction_type"] = name;
  return config;
}

std::vector<std::unique_ptr<NoiseProcess>> every_process() {
  std::vector<std::unique_ptr<NoiseProcess>> all;
  for (const char* name : {"epsilon", "v_prediction", "sample"}) all.push_back(make_noise_process(predicting(name)));
  all.push_back(make_noise_process(flow));
  return all;
}

}  // namespace

TEST_CASE("noise process: a perfect prediction gives back x0 and the noise, in latents of any dimensions") {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{3, 8}, {3, 4, 2, 2}, {3, 4, 3, 2, 2}}) {
    const Tensor x0 = draw(sizes, 1), noise = draw(sizes, 2);
    for (const auto& process : every_process()) {
      const std::string name = prediction_name(process->prediction());
      const Tensor t = process->timesteps({100, 400, 950}), x_t = process->add_noise(x0, noise, t);
      CHECK(x_t.sizes() == x0.sizes());
      const Tensor target = process->target(x0, noise, t);
      test::expect_close(name, process->to_x0(target, x_t, t), x0, 1e-5);
      test::expect_close(name, process->to_epsilon(target, x_t, t), noise, 1e-5);
      const Tensor a = per_sample(process->alpha(t), x0), s = per_sample(process->sigma(t), x0);
      test::expect_equal(name, x_t, a * x0 + s * noise);
    }
  }
}

TEST_CASE("noise process: targets are what their names say") {
  const Tensor x0 = draw({2, 1, 2, 2}, 1), noise = draw({2, 1, 2, 2}, 2);
  const auto target = [&](const Json& config, const Tensor& t) { return make_noise_process(config)->target(x0, noise, t); };
  const Tensor t = torch::tensor({10, 900}, torch::kInt64);
  const Tensor kept = NoiseSchedule(sd).alphas_cumprod().index_select(0, t).view({2, 1, 1, 1});
  test::expect_equal("epsilon", target(predicting("epsilon"), t), noise);
  test::expect_equal("sample", target(predicting("sample"), t), x0);
  test::expect_equal("v", target(predicting("v_prediction"), t), kept.sqrt() * noise - (1 - kept).sqrt() * x0);
  test::expect_equal("flow", target(flow, t), noise - x0);
}

TEST_CASE("noise process: a table keeps the variance, a flow is a straight line") {
  const auto table = make_noise_process(sd), line = make_noise_process(flow);
  const Tensor whole = table->timesteps({0, 1, 500, 999}), real = torch::tensor({0.0f, 123.25f, 500.0f, 1000.0f});
  test::expect_close("alpha^2 + sigma^2", table->alpha(whole).square() + table->sigma(whole).square(), torch::ones({4}), 1e-6);
  test::expect_close("sigma", line->sigma(real), torch::tensor({0.0f, 0.12325f, 0.5f, 1.0f}), 1e-6);
  test::expect_close("alpha + sigma", line->alpha(real) + line->sigma(real), torch::ones({4}), 1e-7);
  test::expect_close("snr", line->snr(real.slice(0, 1)), torch::tensor({50.600f, 1.0f, 0.0f}), 1e-4);
}

TEST_CASE("noise process: drawn timesteps become what the network is told, with a flow's shift") {
  const auto table = make_noise_process(sd), line = make_noise_process(flow);
  CHECK(table->range().whole);
  CHECK(table->range().first == 0);
  CHECK(table->range().last == 999);
  test::expect_equal("whole", table->timesteps({0, 7, 999}), torch::tensor({0, 7, 999}, torch::kInt64));
  CHECK_THROWS_WITH_AS(table->timesteps({7.5}), doctest::Contains("whole timesteps from 0 to 999, found 7.5"), Error);
  CHECK_THROWS_AS(table->timesteps({1000}), Error);
  CHECK_THROWS_AS(table->timesteps({-1}), Error);
  CHECK_FALSE(line->range().whole);
  CHECK(line->range().last == 1000);
  // 3 s / (1 + 2 s): 1/4 becomes 1/2, 1/2 becomes 3/4.
  test::expect_close("shifted", line->timesteps({250, 500, 1000}), torch::tensor({500.0f, 750.0f, 1000.0f}), 1e-6);
  CHECK_THROWS_WITH_AS(line->timesteps({0.5}), doctest::Contains("from 1 to 1000, found 0.5"), Error);
}

TEST_CASE("noise process: a real timestep reaches a flow unrounded, and a table refuses it") {
  const Tensor x = draw({1, 1, 2, 2}, 1), noise = draw({1, 1, 2, 2}, 2), t = torch::tensor({600.75f});
  test::expect_close("flow", make_noise_process(flow)->add_noise(x, noise, t), 0.39925 * x + 0.60075 * noise, 1e-6);
  const NoiseSchedule table(sd);
  CHECK_THROWS_WITH_AS(table.add_noise(x, noise, t), doctest::Contains("whole numbers, found fractions"), Error);
  test::expect_equal("a whole one", table.add_noise(x, noise, torch::tensor({600.0f})), table.add_noise(x, noise, torch::tensor({600})));
}

TEST_CASE("noise process: the kind is chosen by the scheduler's class") {
  CHECK(dynamic_cast<NoiseSchedule*>(make_noise_process(Json::object()).get()) != nullptr);
  CHECK(dynamic_cast<NoiseSchedule*>(make_noise_process({{"_class_name", "PNDMScheduler"}}).get()) != nullptr);
  const auto shift = [](const Json& config) {
    const auto process = make_noise_process(config);
    return dynamic_cast<RectifiedFlow&>(*process).shift();
  };
  CHECK(shift(flow) == 3);
  CHECK(shift({{"_class_name", "FlowMatchEulerDiscreteScheduler"}}) == 1);
  CHECK(shift({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}, {"use_dynamic_shifting", true}}) == 1);
  CHECK(shift({{"_class_name", "UniPCMultistepScheduler"}, {"use_flow_sigmas", true}, {"flow_shift", 5.0}}) == 5);
  for (const char* other : {"EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"}) {
    CHECK_THROWS_WITH_AS(make_noise_process({{"_class_name", other}}),
                         (std::string("scheduler_config.json: the noise of ") + other +
                          " is not supported: expected a scheduler of betas, or a rectified flow (FlowMatchEulerDiscreteScheduler)")
                             .c_str(),
                         UsageError);
  }
  CHECK_THROWS_WITH_AS(make_noise_process({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 0}}),
                       doctest::Contains("above 0, found 0"), FormatError);
  CHECK_THROWS_WITH_AS(make_noise_process({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"invert_sigmas", true}}),
                       doctest::Contains("invert_sigmas"), UsageError);
  CHECK_THROWS_AS(make_noise_process(Json::array()), FormatError);
}

TEST_CASE("noise process: one number a sample is spread over its elements") {
  const Tensor spread = per_sample(torch::tensor({2.0f, 3.0f}), torch::zeros({2, 4, 3, 2, 2}));
  CHECK(spread.sizes() == std::vector<int64_t>{2, 1, 1, 1, 1});
  CHECK(per_sample(torch::tensor({2.0f}), torch::zeros({1})).sizes() == std::vector<int64_t>{1});
  CHECK_THROWS_WITH_AS(per_sample(torch::zeros({3}), torch::zeros({2, 4})), doctest::Contains("found [3] for samples of [2, 4]"), Error);
  CHECK_THROWS_AS(per_sample(torch::zeros({2, 1}), torch::zeros({2, 4})), Error);
}

TEST_CASE("noise process: omega is the posterior's divergence of a step") {
  // Both are normal with the posterior's deviation: KL = |difference of the means|^2 / (2 std^2).
  const Tensor x0 = draw({3, 4, 2, 2}, 1), noise = draw({3, 4, 2, 2}, 2), wrong = draw({3, 4, 2, 2}, 3);
  for (const auto& process : every_process()) {
    const Tensor t = process->timesteps({60, 400, 950}), s = process->timesteps({20, 300, 930});
    const Tensor x_t = process->add_noise(x0, noise, t), target = process->target(x0, noise, t), predicted = target + 0.1 * wrong;
    const StepMoments truth = process->step(target, x_t, t, s, 1), made = process->step(predicted, x_t, t, s, 1);
    const Tensor divergence = ((truth.mean - made.mean) / made.std).square().flatten(1).sum(1) / 2;
    const Tensor expected = process->omega(t, s) / 2 * (target - predicted).square().flatten(1).sum(1);
    test::expect_close(prediction_name(process->prediction()), divergence / expected, torch::ones({3}), 1e-3);
  }
}

TEST_CASE("noise process: omega for epsilon is written from the variances") {
  const NoiseSchedule schedule(sd);
  const Tensor t = torch::tensor({20, 500, 999}), s = torch::tensor({19, 480, 979});
  const Tensor products = schedule.alphas_cumprod().to(torch::kFloat64), at_t = products.index_select(0, t),
               at_s = products.index_select(0, s);
  const Tensor kept = at_t / at_s, expected = (1 - kept) / (kept * (1 - at_s));
  test::expect_close("omega", schedule.omega(t, s), expected.to(torch::kFloat32), 1e-4);
}

TEST_CASE("noise process: a step at eta 1 is DDPM's, at eta 0 DDIM's") {
  const Tensor x = draw({2, 4, 2, 2}, 1), predicted = draw({2, 4, 2, 2}, 2), z = draw({2, 4, 2, 2}, 3);
  for (const char* name : {"epsilon", "v_prediction", "sample"}) {
    const NoiseSchedule schedule(predicting(name));
    const auto ddpm = make_sampler("ddpm", predicting(name)), ddim = make_sampler("ddim", predicting(name));
    for (const auto& sampler : {ddpm.get(), ddim.get()}) sampler->set_timesteps(1000);
    for (const int64_t index : {0, 500, 998}) {  // the timestep 999 - index
      const Tensor t = torch::full({2}, 999 - index, torch::kInt64), s = t - 1;
      const StepMoments noisy = schedule.step(predicted, x, t, s, 1), plain = schedule.step(predicted, x, t, s, 0);
      test::expect_close(name, noisy.mean + noisy.std * z, ddpm->step(predicted, index, x, z), 2e-5);
      test::expect_close(name, plain.mean, ddim->step(predicted, index, x, {}), 2e-5);
      CHECK(plain.std.abs().max().item<float>() == 0);
    }
  }
}

TEST_CASE("noise process: a step of a flow without noise is Euler's, and a step to where it stands stays") {
  const Tensor x = draw({2, 4, 3, 2, 2}, 1), predicted = draw({2, 4, 3, 2, 2}, 2);
  const auto process = make_noise_process(flow);
  const Tensor t = torch::tensor({1000.0f, 400.0f}), s = torch::tensor({700.0f, 0.0f});
  const Tensor euler = x + per_sample((s - t) / 1000, x) * predicted;
  test::expect_close("Euler", process->step(predicted, x, t, s, 0).mean, euler, 1e-6);
  for (const auto& each : every_process()) {
    const Tensor here = each->timesteps({500, 1});
    const StepMoments stays = each->step(predicted, x, here, here, 1);
    test::expect_close(prediction_name(each->prediction()), stays.mean, x, 1e-5);
    CHECK(stays.std.max().item<float>() == 0);
  }
}

TEST_CASE("noise process: gradients of a step reach the prediction") {
  const Tensor x = draw({1, 2, 2, 2}, 1), predicted = draw({1, 2, 2, 2}, 2).set_requires_grad(true);
  const NoiseSchedule schedule(sd);
  schedule.step(predicted, x, torch::tensor({500}), torch::tensor({480}), 1).mean.sum().backward();
  // mean = a_s (x - sigma_t e) / a_t + sqrt(sigma_s^2 - std^2) e
  const double at_t = schedule.alphas_cumprod()[500].item<float>(), at_s = schedule.alphas_cumprod()[480].item<float>();
  const double variance = (1 - at_s) / (1 - at_t) * (1 - at_t / at_s);
  const double slope = -std::sqrt(at_s / at_t * (1 - at_t)) + std::sqrt(1 - at_s - variance);
  test::expect_close("slope", predicted.grad(), torch::full({1, 2, 2, 2}, slope), 1e-4);
}
