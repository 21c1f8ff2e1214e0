#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/diffusion/schedule.h"
#include "palate/diffusion/scheduler_config.h"
#include "tests/support/expect_close.h"

using namespace palate;

TEST_CASE("noise schedule: a perfect prediction gives back x0 and epsilon, whatever is predicted") {
  Generator g({.seed = 1});
  const Tensor x0 = g.normal({5, 4, 2, 2}), noise = g.normal({5, 4, 2, 2});
  const Tensor t = torch::tensor({1, 100, 400, 700, 950}, torch::kInt64);
  for (const char* name : {"epsilon", "v_prediction", "sample"}) {
    const NoiseSchedule schedule(Json{{"prediction_type", name}, {"beta_schedule", "scaled_linear"}});
    CHECK(std::string(prediction_name(schedule.prediction())) == name);
    const Tensor x_t = schedule.add_noise(x0, noise, t), target = schedule.target(x0, noise, t);
    // x_t loses about 1 / sqrt(alpha_cumprod) of x0's digits, and 1 / sqrt(1 - alpha_cumprod) of the noise's.
    test::expect_close(name, schedule.to_x0(target, x_t, t), x0, 1e-4);
    test::expect_close(name, schedule.to_epsilon(target, x_t, t), noise, 1e-4);
  }
}

TEST_CASE("noise schedule: noising keeps the variance, and sample and batch shapes are free") {
  const NoiseSchedule schedule(Json::object());
  const Tensor& products = schedule.alphas_cumprod();
  CHECK(products.size(0) == 1000);
  CHECK(products[0].item<float>() == doctest::Approx(1 - 1e-4));  // the class default: linear from 1e-4 to 0.02
  CHECK((products.slice(0, 1) < products.slice(0, 0, -1)).all().item<bool>());
  const Tensor one = torch::ones({2, 3, 1, 2, 2}), t = torch::tensor({0, 999}, torch::kInt64);
  const Tensor signal = schedule.add_noise(one, torch::zeros_like(one), t), noise = schedule.add_noise(torch::zeros_like(one), one, t);
  test::expect_close("a^2 + s^2", signal.square() + noise.square(), one, 1e-6);
  CHECK_THROWS_AS(schedule.add_noise(one, one, torch::zeros({3}, torch::kInt64)), Error);
}

TEST_CASE("noise schedule: half-precision inputs are noised in float32") {
  const NoiseSchedule schedule(Json::object());
  const Tensor x = torch::ones({1, 4, 2, 2}, torch::kBFloat16), t = torch::tensor({500}, torch::kInt64);
  CHECK((schedule.add_noise(x, x, t).scalar_type() == torch::kFloat32));
  CHECK((schedule.target(x, x, t).scalar_type() == torch::kFloat32));
}

TEST_CASE("noise schedule: zero terminal SNR ends at pure noise and keeps the first step") {
  const Tensor betas = make_betas("scaled_linear", 0.00085, 0.012, 1000), rescaled = rescale_zero_terminal_snr(betas);
  CHECK((1 - rescaled).cumprod(0)[-1].item<float>() == 0);
  CHECK(rescaled[0].item<float>() == doctest::Approx(betas[0].item<float>()).epsilon(1e-4));
}

TEST_CASE("noise schedule: wrong configs are refused by key") {
  const auto refused = [](const Json& config) {
    try {
      const NoiseSchedule schedule(config);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refused({{"beta_schedule", "scaled_linaer"}}).find("did you mean 'scaled_linear'") != std::string::npos);
  CHECK(refused({{"beta_start", "x"}}).find("beta_start should be a number") != std::string::npos);
  CHECK(refused({{"num_train_timesteps", 0}}) != "");
  CHECK(refused({{"prediction_type", "flow"}}).find("prediction_type") != std::string::npos);
  CHECK(refused({{"trained_betas", "none"}}).find("trained_betas") != std::string::npos);
  CHECK(refused(Json::array()).find("expected an object") != std::string::npos);
  CHECK(refused({{"trained_betas", nullptr}, {"surplus", 1}}).empty());
}

TEST_CASE("timesteps: too many, or an offset past the end, is wrong use") {
  CHECK_THROWS_AS(spaced_timesteps({"leading", 0, 1000}, 0), UsageError);
  CHECK_THROWS_AS(spaced_timesteps({"leading", 0, 1000}, 1001), UsageError);
  CHECK_THROWS_AS(spaced_timesteps({"leading", 1, 1000}, 1000), UsageError);
  // diffusers takes a 62nd step, at timestep -1, where numpy's arange rounds its length up.
  CHECK(spaced_timesteps({"trailing", 0, 1000}, 61).size() == 61);
}
