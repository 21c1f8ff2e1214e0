// LoRA against diffusers + peft, on linear layers and convolutions of a tiny U-Net (tests/golden/make_lora.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/adapters/lora.h"
#include "palate/models/registry.h"
#include "palate/nn/adaptable.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Inputs {
  std::map<std::string, Tensor> golden = load_golden("lora_outputs.safetensors");
  Tensor run(Denoiser& unet) const {
    const torch::NoGradGuard no_grad;
    return unet.predict(golden.at("sample"), golden.at("timestep"), {{"encoder_hidden_states", golden.at("encoder_hidden_states")}});
  }
};

}  // namespace

TEST_CASE("lora parity: the model of every file equals what diffusers makes of it") {
  const Inputs inputs;
  const std::pair<const char*, const char*> cases[] = {{"lora_peft", "peft"},   {"lora_plain", "plain"}, {"lora_native", "plain"},
                                                       {"lora_kohya", "kohya"}, {"lora_old", "old"},     {"lora_oldest", "old"}};
  for (const auto& [file, expected] : cases) {
    const auto unet = load_denoiser(golden("tiny_model/unet"));
    Lora::load(unet->module(), golden(std::string(file) + ".safetensors"));
    expect_close(file, inputs.run(*unet), inputs.golden.at(expected), 1e-5);
  }
}

TEST_CASE("lora parity: off and removed give the base model to the bit") {
  const Inputs inputs;
  const auto plain = load_denoiser(golden("tiny_model/unet")), unet = load_denoiser(golden("tiny_model/unet"));
  const Tensor base = inputs.run(*plain);
  expect_close("base", base, inputs.golden.at("base"), 1e-5);
  auto lora = Lora::load(unet->module(), golden("lora_peft.safetensors"));
  {
    const AdaptersOff off;
    expect_equal("off", inputs.run(*unet), base);
  }
  lora.set_weight(0);
  expect_close("weight 0", inputs.run(*unet), base, 1e-6);
  lora.remove();
  expect_equal("removed", inputs.run(*unet), base);
}

// That diffusers gets the same output from the files written here was checked with
//   python3 tests/golden/make_lora.py --verify build/tmp/parity_adapters/saved
// (diffusers 0.42.1, peft 0.21.2: relative error below 1e-6 for both files), to be run again when saving changes.
TEST_CASE("lora parity: a saved LoRA, with ranks and alphas that differ by layer, comes back in both formats") {
  const Inputs inputs;
  const auto folder = fresh_folder("saved");
  const auto unet = load_denoiser(golden("tiny_model/unet"));
  const auto lora = Lora::load(unet->module(), golden("lora_peft.safetensors"));
  const Tensor output = inputs.run(*unet);
  lora.save(folder);
  save_safetensors(folder / "output.safetensors", {{"output", output}});
  for (const char* name : {"pytorch_lora_weights.safetensors", "pytorch_lora_weights.kohya.safetensors"}) {
    const auto again = load_denoiser(golden("tiny_model/unet"));
    Lora::load(again->module(), folder / name);
    expect_equal(name, inputs.run(*again), output);
  }
}

TEST_CASE("lora parity: the default targets are the attention projections that peft adapts") {
  const auto unet = load_denoiser(golden("tiny_model/unet"));
  const auto attention = Lora::inject(unet->module(), {.rank = 2}, 0);
  int64_t projections = 0;
  for (const auto& [name, value] : attention.parameters()) projections += name.ends_with("lora_A.weight") ? 1 : 0;
  CHECK(attention.layers() == projections);
  const SafetensorsFile file(golden("lora_old.safetensors"));  // what peft adapted with the same targets
  CHECK(projections == static_cast<int64_t>(file.names().size()) / 2);
  for (const auto& [name, value] : attention.parameters()) {
    std::string key = "unet." + name;
    key.replace(key.find(".lora_"), std::string::npos, name.ends_with("lora_A.weight") ? ".lora.down.weight" : ".lora.up.weight");
    INFO(key);
    REQUIRE(file.contains(key));
    CHECK(file.shape(key) == value.sizes().vec());
  }
  CHECK(Lora::inject(unet->module(), {.rank = 2, .targets = {"*.resnets.*.conv*", "*downsamplers*"}}, 0).layers() > 0);
}
