// Activations of a U-Net's blocks and their gradients against diffusers' own, taken by hooks (tests/golden/make_features.py, in float64).
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/models/registry.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

namespace palate {

TEST_CASE("features: every block's activations and their gradient equal diffusers'") {
  const test::GoldenFile golden("features.safetensors");
  size_t blocks = 0;
  for (const std::string name : {"sd1", "xl", "no_mid"}) {
    const auto given = test::load_golden("unet_" + name + "/expected.safetensors");
    const auto model = load_denoiser(test::golden("unet_" + name));
    Condition condition;
    for (const auto& field : condition_names()) {
      if (given.contains(field)) condition.set(field, given.at(field));
    }
    for (const auto& [key, weights] : golden.values()) {
      if (!key.starts_with(name + ".") || !key.ends_with(".weights")) continue;
      const std::string stem = key.substr(0, key.size() - 8), tap = stem.substr(name.size() + 1);
      const Tensor sample = given.at("sample").clone().set_requires_grad(true);
      const Tensor features = model->features(sample, given.at("timestep"), condition, {tap}).at(0);
      golden.expect(stem, features);
      (features * weights).sum().backward();
      golden.expect(stem + ".input_grad", sample.grad());
      ++blocks;
    }
  }
  CHECK(blocks == 6 + 8 + 5);
}

}  // namespace palate
