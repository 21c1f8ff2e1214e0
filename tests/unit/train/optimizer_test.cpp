#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/train/ema.h"
#include "palate/train/lr_schedule.h"
#include "palate/train/optimizer.h"
#include "palate/train/optimizers/constants.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"

using namespace palate;
using namespace palate::test;

namespace {}  // namespace

TEST_CASE("adamw: the first step moves every value by the rate, against its gradient's sign") {
  // m / (1 - b1) = g and v / (1 - b2) = g^2 after one step, so the update is lr * g / (|g| + eps), about lr * sign(g).
  OptimizerConfig config;
  config.constants = Constants(AdamWConfig{.weight_decay = 0});
  const std::vector<Tensor> values = {torch::zeros({4})};
  const auto optimizer = make_optimizer(config, {"x"}, values);
  optimizer->step({torch::tensor({5.0f, -0.1f, 2.0f, -7.0f})}, 0.25);
  expect_close("x", values[0], torch::tensor({-0.25f, 0.25f, -0.25f, 0.25f}), 1e-6);
}

TEST_CASE("adamw: weight decay is decoupled: without a gradient signal a value shrinks by 1 - lr * decay") {
  OptimizerConfig config;
  config.constants = Constants(AdamWConfig{.weight_decay = 0.5});
  const std::vector<Tensor> values = {torch::full({3}, 2.0f)};
  const auto optimizer = make_optimizer(config, {"x"}, values);
  optimizer->step({torch::zeros({3})}, 0.1);
  expect_close("x", values[0], torch::full({3}, 2.0f * (1 - 0.1f * 0.5f)), 1e-6);
}

TEST_CASE("adamw: a saved state goes on to the bit, and another run's state is refused") {
  OptimizerConfig config;
  const std::vector<Tensor> one = {draw({33}, 1), draw({4, 5}, 2)}, two = {one[0].clone(), one[1].clone()};
  const auto straight = make_optimizer(config, {"a", "b"}, one), first = make_optimizer(config, {"a", "b"}, two);
  const auto gradients = [](uint64_t step) { return std::vector<Tensor>{draw({33}, 10 + step), draw({4, 5}, 20 + step)}; };
  for (uint64_t step = 0; step < 6; ++step) straight->step(gradients(step), 1e-2);
  for (uint64_t step = 0; step < 3; ++step) first->step(gradients(step), 1e-2);
  std::map<std::string, Tensor> state;
  first->save(state);
  for (auto& [name, value] : state) value = value.clone();
  const auto second = make_optimizer(config, {"a", "b"}, two);
  second->load(state, 3);
  for (uint64_t step = 3; step < 6; ++step) second->step(gradients(step), 1e-2);
  expect_equal("a", two[0], one[0]);
  expect_equal("b", two[1], one[1]);
  const auto other = make_optimizer(config, {"a", "c"}, two);
  CHECK_THROWS_AS(other->load(state, 3), FormatError);
}

TEST_CASE("adamw: a tensor without a gradient keeps its value") {
  OptimizerConfig config;
  const std::vector<Tensor> values = {torch::ones({2}), torch::ones({2})};
  const auto optimizer = make_optimizer(config, {"a", "b"}, values);
  optimizer->step({torch::ones({2}), Tensor()}, 0.1);
  CHECK(values[0][0].item<float>() < 1);
  expect_equal("b", values[1], torch::ones({2}));
}

TEST_CASE("clip: a small gradient is left alone, a large one has the limit as its norm, 0 is no limit") {
  const std::vector<Tensor> small = {torch::tensor({0.3f, 0.0f}), Tensor(), torch::tensor({0.4f})};
  CHECK(clip_gradients(small, 1.0).item<float>() == doctest::Approx(0.5));
  CHECK(small[2].item<float>() == doctest::Approx(0.4f));
  const std::vector<Tensor> large = {torch::tensor({30.0f}), torch::tensor({40.0f})};
  CHECK(clip_gradients(large, 0).item<float>() == doctest::Approx(50));
  CHECK(large[0].item<float>() == 30);
  clip_gradients(large, 2.0);
  CHECK(large[0].item<float>() == doctest::Approx(1.2));
  CHECK(large[1].item<float>() == doctest::Approx(1.6));
}

TEST_CASE("ema: swapping twice changes no bit") {
  const std::vector<Tensor> values = {draw({17}, 3)};
  Ema ema(0.9, {"x"}, values);
  const Tensor before = values[0].clone();
  values[0].add_(1);
  ema.update(values);  // the first update copies
  values[0].add_(1);
  const Tensor now = values[0].clone();
  ema.swap(values);
  expect_equal("mean", values[0], before + 1);
  ema.swap(values);
  expect_equal("values", values[0], now);
}

TEST_CASE("schedules: warm-up starts at 0, rises by equal steps and ends at the peak") {
  OptimizerConfig config;
  config.lr = 2;
  config.warmup_steps = 4;
  config.lr_schedule = "constant_with_warmup";
  CHECK(learning_rate(config, 0, 10) == 0);
  CHECK(learning_rate(config, 1, 10) == 0.5);
  CHECK(learning_rate(config, 4, 10) == 2);
  CHECK(learning_rate(config, 9, 10) == 2);
  config.lr_schedule = "staircase";
  CHECK_THROWS_AS(learning_rate(config, 5, 10), UsageError);
}
