#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/train/ema.h"
#include "palate/train/lr_schedule.h"
#include "palate/train/optimizer.h"
#include "palate/train/optimizers/constants.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

const std::vector<std::string> names = {"a", "b", "c"};

std::vector<Tensor> tensors(const GoldenFile& golden, const std::string& prefix) {
  std::vector<Tensor> found;
  for (const auto& name : names) found.push_back(golden.at(prefix + name).clone());
  return found;
}

}  // namespace

TEST_CASE("schedules: every step equals diffusers.optimization") {
  const Json golden = read_json(test::golden("train.json"));
  for (const auto& line : golden["schedules"]) {
    OptimizerConfig config;
    config.lr = 3e-4;
    config.lr_schedule = line["name"].get<std::string>();
    config.warmup_steps = line["warmup"].get<int64_t>();
    if (config.lr_schedule == "polynomial") config.schedule_constants = Constants(PolynomialConfig{line["power"].get<double>()});
    if (config.lr_schedule == "cosine_with_restarts")
      config.schedule_constants = Constants(CosineWithRestartsConfig{line["cycles"].get<int64_t>()});
    CAPTURE(config.lr_schedule);
    CAPTURE(config.warmup_steps);
    const auto rates = line["rates"].get<std::vector<double>>();
    REQUIRE(rates.size() == 106);
    for (size_t step = 0; step < rates.size(); ++step) {
      CAPTURE(step);
      CHECK(std::abs(learning_rate(config, static_cast<int64_t>(step), 100) - rates[step]) <= 1e-12 * 3e-4);
    }
  }
}

TEST_CASE("adamw: ten clipped steps equal torch.optim.AdamW, and the running mean equals EMAModel") {
  const GoldenFile golden("train_optimizer.safetensors");
  auto values = tensors(golden, "initial.");
  OptimizerConfig config;
  config.constants = Constants(AdamWConfig{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.05});
  const auto optimizer = make_optimizer(config, names, values);
  Ema ema(0.3, names, values);
  for (int step = 0; step < 10; ++step) {
    CAPTURE(step);
    const auto gradients = tensors(golden, "gradient." + std::to_string(step) + ".");
    const Tensor norm = clip_gradients(gradients, 0.5);
    expect_close("norm", norm, golden.at("norms")[step], golden.bound("norms"));
    if (step == 2) {
      for (size_t i = 0; i < names.size(); ++i) golden.expect("clipped." + names[i], gradients[i]);
    }
    optimizer->step(gradients, 1e-2 / (step + 1));
    ema.update(values);
    std::map<std::string, Tensor> means;
    ema.save(means);
    for (size_t i = 0; i < names.size(); ++i) {
      golden.expect("value." + std::to_string(step) + "." + names[i], values[i]);
      golden.expect("ema." + std::to_string(step) + "." + names[i], means.at("ema." + names[i]));
    }
  }
}
