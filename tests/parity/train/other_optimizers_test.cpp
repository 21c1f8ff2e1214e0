// The optimizers against their references: tests/golden/make_optimizers.py.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/train/optimizer.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

using Golden = std::map<std::string, Tensor>;

std::vector<Tensor> tensors(const Golden& golden, const std::string& prefix) {
  std::vector<Tensor> found;
  for (const auto& name : names) found.push_back(golden.at(prefix + name).clone());
  return found;
}

struct Case {
  std::string name;
  OptimizerConfig config;
  bool constant = false;
};

// From keys of [optimizer], as a config file has them.
OptimizerConfig config(const std::vector<std::string>& overrides) {
  OptimizerConfig made;
  load_config({.file_name = "", .file_text = "", .overrides = overrides}, [&](Fields& f) { made.visit(f); });
  return made;
}

std::vector<Case> cases() {
  return {{"adafactor", config({"name=adafactor", "lr=1e-2"})},
          {"adafactor_scaled", config({"name=adafactor", "lr=1e-2", "scale_parameter=true", "clip_threshold=0.7", "weight_decay=0"})},
          {"lion", config({"name=lion", "lr=1e-3", "beta2=0.99", "weight_decay=0.1"})},
          {"prodigy", config({"name=prodigy", "lr=1", "beta2=0.99"}), true},
          {"prodigy_coupled",
           config({"name=prodigy", "lr=1", "beta1=0.8", "beta2=0.95", "prodigy_beta3=0.9", "prodigy_d_coef=2", "weight_decay=0.1",
                   "prodigy_decouple=false", "prodigy_use_bias_correction=false", "prodigy_safeguard_warmup=false"}),
           true},
          {"adamw8bit", config({"name=adamw8bit", "lr=1e-2", "beta2=0.99", "eps=1e-6", "weight_decay=0.05"})}};
}

void step(Optimizer& optimizer, const Case& one, const Golden& golden, int at) {
  optimizer.step(tensors(golden, "gradient." + std::to_string(at % 5) + "."), one.config.lr / (one.constant ? 1 : at + 1));
}

}  // namespace

TEST_CASE("optimizers: ten steps equal transformers' Adafactor, lion-pytorch, prodigyopt and bitsandbytes' AdamW8bit") {
  const Golden golden = load_golden("train_optimizers.safetensors");
  for (const auto& one : cases()) {
    CAPTURE(one.name);
    auto values = tensors(golden, "initial.");
    const auto optimizer = make_optimizer(one.config, names, values);
    for (int at = 0; at < 10; ++at) {
      step(*optimizer, one, golden, at);
      if (at != 0 && at != 9) continue;
      for (size_t i = 0; i < names.size(); ++i) {
        expect_close(one.name + " " + names[i], values[i], golden.at(one.name + "." + std::to_string(at) + "." + names[i]), 2e-6);
      }
    }
  }
}

// The state that is saved is all there is: steps after loading it into a fresh optimizer are the same to the bit.
TEST_CASE("optimizers: five steps, save, load and five more equal ten steps to the bit") {
  const Golden golden = load_golden("train_optimizers.safetensors");
  for (const auto& one : cases()) {
    CAPTURE(one.name);
    auto straight = tensors(golden, "initial."), resumed = tensors(golden, "initial.");
    const auto whole = make_optimizer(one.config, names, straight), first = make_optimizer(one.config, names, resumed);
    for (int at = 0; at < 10; ++at) step(*whole, one, golden, at);
    for (int at = 0; at < 5; ++at) step(*first, one, golden, at);
    std::map<std::string, Tensor> state;
    first->save(state);
    const auto second = make_optimizer(one.config, names, resumed);
    second->load(state, first->steps());
    for (int at = 5; at < 10; ++at) step(*second, one, golden, at);
    for (size_t i = 0; i < names.size(); ++i) CHECK(resumed[i].equal(straight[i]));
    state.erase(state.begin());
    CHECK_THROWS_AS(second->load(state, 5), FormatError);
  }
}
