// U-Nets against diffusers (tests/golden/make_unet.py): tiny models that differ in every structural option.
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/optim/adamw.h>
#include <torch/types.h>

#include "palate/models/registry.h"
#include "tests/parity/models/gradients.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

using test::GoldenFile;

Condition condition_of(const GoldenFile& golden) {
  Condition condition;
  for (const auto& name : condition_names()) {
    if (golden.contains(name)) condition.set(name, golden.at(name));
  }
  return condition;
}

// The output after ten steps of AdamW, with make_unet.py's constants.
Tensor after_ten_steps(Denoiser& model, const GoldenFile& golden) {
  std::vector<Tensor> trained;
  for (const auto& parameter : model.module().parameters()) {
    if (parameter.grad().defined()) trained.push_back(parameter);
  }
  torch::optim::AdamW optimizer(trained, torch::optim::AdamWOptions(1e-2).betas({0.9, 0.999}).eps(1e-2).weight_decay(0.1));
  const auto run = [&] { return model.predict(golden.at("sample"), golden.at("timestep"), condition_of(golden)); };
  for (int i = 0; i < 10; ++i) {
    optimizer.zero_grad();
    (run() * golden.at("loss_weights")).sum().backward();
    optimizer.step();
  }
  return run();
}

const char* const names[] = {
    "unet_sd1",         "unet_sd2",    "unet_xl",      "unet_uneven", "unet_no_mid",  "unet_shift",          "unet_deep",
    "unet_one_block",   "unet_nested", "unet_classes", "unet_pooled", "unet_fourier", "unet_class_timestep", "unet_class_identity",
    "unet_class_linear"};

}  // namespace

TEST_CASE("unet: output, input gradient, every parameter's gradient and ten steps of AdamW equal diffusers'") {
  for (const std::string name : names) {
    SUBCASE(name.c_str()) {
      const GoldenFile golden(name + "/expected.safetensors");
      const auto model = load_denoiser(test::golden(name));
      test::require_gradients(model->module());
      const Tensor sample = golden.at("sample").clone().set_requires_grad(true);
      const Tensor out = model->predict(sample, golden.at("timestep"), condition_of(golden));
      golden.expect("output", out);
      (out * golden.at("loss_weights")).sum().backward();
      golden.expect("input_grad", sample.grad());
      test::expect_gradients(model->module(), golden);
      if (!golden.contains("stepped_output")) continue;  // the older goldens: tests/parity/train takes the ten steps with one of them
      const Tensor stepped = after_ten_steps(*model, golden);
      CHECK(test::relative_error(stepped, out) > 0.01);
      golden.expect("stepped_output", stepped);
    }
  }
}

TEST_CASE("unet: with gradient checkpointing every gradient still equals diffusers'") {
  // Not to the bit: a rerun segment sums the gradients of its inputs before it hands them on, so they are added in another order.
  for (const std::string name : {"unet_sd1", "unet_xl", "unet_nested", "unet_pooled"}) {
    const GoldenFile golden(name + "/expected.safetensors");
    const auto model = load_denoiser(test::golden(name));
    test::require_gradients(model->module());
    model->set_gradient_checkpointing(true);
    const Tensor sample = golden.at("sample").clone().set_requires_grad(true);
    (model->predict(sample, golden.at("timestep"), condition_of(golden)) * golden.at("loss_weights")).sum().backward();
    golden.expect("input_grad", sample.grad());
    test::expect_gradients(model->module(), golden);
  }
}

TEST_CASE("unet: from bf16 weights and a bf16 input the output is bf16 and keeps bf16's digits") {
  const GoldenFile golden("unet_sd2/expected.safetensors");
  const auto held = load_denoiser(test::golden("unet_sd2"), {.dtype = torch::kBFloat16, .device = torch::kCPU, .variant = ""});
  const Tensor out = held->predict(golden.at("sample").to(torch::kBFloat16), golden.at("timestep"), condition_of(golden));
  CHECK((out.scalar_type() == torch::kBFloat16));
  test::expect_close("bf16 weights", out, golden.at("output"), 0.03);
}

TEST_CASE("unet: a batch is its samples one by one, and one timestep serves all") {
  const GoldenFile golden("unet_xl/expected.safetensors");
  const auto model = load_denoiser(test::golden("unet_xl"));
  const Condition all = condition_of(golden);
  const Tensor both = model->predict(golden.at("sample"), torch::tensor({7}), all);
  const Condition second = all.rows(1, 1);
  test::expect_close("row 1", model->predict(golden.at("sample").narrow(0, 1, 1), torch::tensor(7), second), both.narrow(0, 1, 1), 1e-5);
}

}  // namespace palate
