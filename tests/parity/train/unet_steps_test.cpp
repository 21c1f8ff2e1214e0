// Ten optimizer steps on a small U-Net against diffusers and torch.optim: loss curve, gradient norms and how far each weight moved.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "palate/models/registry.h"
#include "palate/train/lr_schedule.h"
#include "palate/train/optimizer.h"
#include "palate/train/optimizers/constants.h"
#include "palate/train/trainable.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

// What a weight moved by in ten steps has the rounding of ten gradients in it.
constexpr double ten_gradients = 5e-6;

// Ten steps at `lr` from the golden weights; gives what each weight moved by, and tells of the loss and the norm of each step.
TensorMap ten_steps(const GoldenFile& golden, double lr, const std::function<void(int, const Tensor& loss, const Tensor& norm)>& tell) {
  const auto folder = fresh_folder("unet_steps");
  TensorMap initial;
  for (const auto& [name, value] : golden.values()) {
    if (name.starts_with("initial.")) initial[name.substr(8)] = value;
  }
  write_json(folder / "config.json", read_json(test::golden("train.json"))["unet"]);
  save_safetensors(folder / "diffusion_pytorch_model.safetensors", initial);
  const auto model = load_denoiser(folder);
  const Trainable trainable = Trainable::whole(*model, torch::kFloat);
  Parameters parameters;
  parameters.add(trainable.group());
  REQUIRE(parameters.names().size() == initial.size());
  OptimizerConfig config;
  config.lr = lr;
  config.constants = Constants(AdamWConfig{.eps = 1e-3});  // as make_train.py says
  config.lr_schedule = "cosine";
  config.warmup_steps = 2;
  const auto optimizer = make_optimizer(config, parameters.names(), parameters.values());
  for (int step = 0; step < 10; ++step) {
    const Tensor predicted = model->predict(golden.at("x"), golden.at("t"), {{"encoder_hidden_states", golden.at("text")}});
    const Tensor loss = (predicted - golden.at("target")).square().mean();
    loss.backward();
    parameters.collect();
    const auto gradients = parameters.gradients(parameters.groups()[0]);
    tell(step, loss, clip_gradients(gradients, 1.0));
    optimizer->step(gradients, learning_rate(config, step, 10));
    parameters.clear_gradients();
  }
  TensorMap moved;
  for (size_t i = 0; i < parameters.names().size(); ++i) {
    const std::string& name = parameters.names()[i];
    moved[name] = parameters.values()[i].detach() - golden.at("initial." + name);
  }
  return moved;
}

}  // namespace

TEST_CASE("training: ten steps on a U-Net give the losses that diffusers and torch give, and move each weight as they do") {
  const GoldenFile golden("train_unet.safetensors");
  const TensorMap moved = ten_steps(golden, 1e-3, [&](int step, const Tensor& loss, const Tensor& norm) {
    CAPTURE(step);
    expect_close("loss", loss, golden.at("losses")[step], golden.bound("losses"));
    expect_close("norm", norm, golden.at("norms")[step], golden.bound("norms"));
  });
  for (const auto& [name, by] : moved) golden.expect("moved." + name, by, ten_gradients);
}

TEST_CASE("faults: 1e-4 in the rate is seen in how far the weights move") {
  const GoldenFile golden("train_unet.safetensors");
  const TensorMap moved = ten_steps(golden, 1e-3 * (1 + 1e-4), [](int, const Tensor&, const Tensor&) {});
  for (const char* name : {"conv_in.weight", "mid_block.resnets.0.conv1.weight", "conv_out.weight"}) {
    INFO(std::string(name));
    CHECK_FALSE(golden.close(std::string("moved.") + name, moved.at(name), ten_gradients));
  }
}
