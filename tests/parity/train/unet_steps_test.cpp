// Ten optimizer steps on a small U-Net against diffusers and torch.optim: loss curve, gradient norms and final weights.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "palate/models/registry.h"
#include "palate/train/lr_schedule.h"
#include "palate/train/optimizer.h"
#include "palate/train/trainable.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

TEST_CASE("training: ten steps on a U-Net give the losses and the weights that diffusers and torch give") {
  const auto golden = load_golden("train_unet.safetensors");
  const auto folder = fresh_folder("unet_steps");
  TensorMap initial;
  for (const auto& [name, value] : golden) {
    if (name.rfind("initial.", 0) == 0) initial[name.substr(8)] = value;
  }
  write_json(folder / "config.json", read_json(test::golden("train.json"))["unet"]);
  save_safetensors(folder / "diffusion_pytorch_model.safetensors", initial);
  const auto model = load_denoiser(folder);
  Trainable trainable = Trainable::whole(*model, torch::kFloat);
  Parameters parameters;
  parameters.add(trainable.group());
  REQUIRE(parameters.names().size() == initial.size());
  OptimizerConfig config;
  config.lr = 1e-3;
  config.lr_schedule = "cosine";
  config.warmup_steps = 2;
  const auto optimizer = make_optimizer(config, parameters.names(), parameters.values());
  for (int step = 0; step < 10; ++step) {
    CAPTURE(step);
    const Tensor predicted = model->predict(golden.at("x"), golden.at("t"), {{"encoder_hidden_states", golden.at("text")}});
    const Tensor loss = (predicted - golden.at("target")).square().mean();
    loss.backward();
    parameters.collect();
    const auto gradients = parameters.gradients(parameters.groups()[0]);
    const Tensor norm = clip_gradients(gradients, 1.0);
    expect_close("loss", loss, golden.at("losses")[step], 1e-5);
    expect_close("norm", norm, golden.at("norms")[step], 1e-4);
    optimizer->step(gradients, learning_rate(config, step, 10));
    parameters.clear_gradients();
  }
  // Adam divides by the root of the second moment, so a gradient that is rounding only moves its weight by a full step in
  // either library: single weights are compared to a tenth of what they moved at most.
  for (size_t i = 0; i < parameters.names().size(); ++i) {
    const std::string& name = parameters.names()[i];
    const Tensor expected = golden.at("final." + name), moved = expected - golden.at("initial." + name);
    INFO(name);
    const double close =
        ((parameters.values()[i].detach() - expected).abs() <= 1e-4 * expected.abs().max()).to(torch::kFloat).mean().item<double>();
    CHECK(close > 0.98);
    CHECK((parameters.values()[i].detach() - expected).abs().max().item<double>() <= 10 * 1e-3 + moved.abs().max().item<double>());
  }
}
