// DoRA against peft, and ZipLoRA against a reference written out on dense updates (tests/golden/make_lora_tools.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/adapters/lora.h"
#include "palate/adapters/lora_file.h"
#include "palate/adapters/zip_lora.h"
#include "palate/models/registry.h"
#include "palate/nn/adaptable.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

Tensor run(Denoiser& unet) {
  const torch::NoGradGuard no_grad;
  const auto inputs = load_golden("lora_outputs.safetensors");
  return unet.predict(inputs.at("sample"), inputs.at("timestep"), {{"encoder_hidden_states", inputs.at("encoder_hidden_states")}});
}

}  // namespace

TEST_CASE("lora tools parity: a DoRA of peft, on linear layers and convolutions, gives peft's output") {
  const auto expected = load_golden("lora_tools_expected.safetensors");
  const auto unet = load_denoiser(golden("tiny_model/unet"));
  const Tensor base = run(*unet);
  auto lora = Lora::load(unet->module(), golden("lora_tools_dora.safetensors"));
  expect_close("dora", run(*unet), expected.at("dora"), 1e-5);
  lora.set_weight(0);
  expect_close("weight 0", run(*unet), base, 1e-6);
  lora.remove();
  expect_equal("removed", run(*unet), base);
}

TEST_CASE("lora tools parity: ZipLoRA's losses, step by step, and its merged updates") {
  const auto golden_of = load_golden("lora_tools_expected.safetensors");
  const auto unet = load_denoiser(golden("tiny_model/unet"));
  const Tensor base = run(*unet);
  const ModelLayers layers = {{"unet", adaptable_shapes(unet->module())}};
  const LoraFile content = read_lora(golden("lora_peft.safetensors"), &layers), style = read_lora(golden("lora_old.safetensors"), &layers);
  const Tensor losses = golden_of.at("zip_losses");
  const auto predict = [&](int64_t step, ZipSide side) {
    const std::string name = side == ZipSide::content ? "a" : "b";
    return unet->predict(golden_of.at("zip_" + name).narrow(0, step, 1), golden_of.at("zip_t").narrow(0, step, 1),
                         {{"encoder_hidden_states", golden_of.at("zip_text_" + name)}});
  };
  Tensor got = torch::zeros_like(losses);
  const LoraFile zipped = zip_loras(unet->module(), content, style, {.steps = losses.size(0), .learning_rate = 0.02, .penalty = 0.01},
                                    predict, [&](int64_t step, const ZipLoss& loss) {
                                      got[step] = torch::tensor({loss.content, loss.style, loss.overlap}, torch::kFloat32);
                                    });
  for (int64_t column = 0; column < 3; ++column) expect_close("loss", got.select(1, column), losses.select(1, column), 1e-4);
  CHECK(got[-1][2].item<double>() < 0.9 * got[0][2].item<double>());  // the coefficients part company
  size_t compared = 0;
  for (const auto& [name, module] : zipped.components.at("unet")) {
    expect_close(name, delta_weight(module), golden_of.at("zip_delta." + name), 2e-4);
    ++compared;
  }
  CHECK(compared == content.components.at("unet").size());  // the style adapts no layer that the content does not
  expect_equal("taken off again", run(*unet), base);
}
