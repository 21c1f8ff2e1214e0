// Training a whole network in bf16: the masters are float32, and the network computes with their rounding.
#include "palate/train/trainable.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/io/safetensors.h"
#include "palate/train/optimizer.h"
#include "palate/train/optimizers/constants.h"
#include "tests/support/paths.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

// In [1, 2) bf16 numbers are 2^-7 apart, so that an eighth of that is lost when it is added to one of them.
constexpr double spacing = 1.0 / 128;

}  // namespace

TEST_CASE("trainable: in bf16 updates below the weights' rounding add up") {
  ToyDenoiser model(1.0);
  const Trainable trainable = Trainable::whole(model, torch::kBFloat16);
  Parameters parameters;
  parameters.add(trainable.group());
  REQUIRE((model.gain().scalar_type() == torch::kBFloat16));
  REQUIRE((parameters.values()[0].scalar_type() == torch::kFloat));
  OptimizerConfig config;
  config.constants = Constants(AdamWConfig{.weight_decay = 0});
  const auto optimizer = make_optimizer(config, parameters.names(), parameters.values());
  for (int step = 1; step <= 8; ++step) {
    // The gradient is -1 at every step, which Adam turns into an update of exactly its rate.
    model.predict(torch::full({1}, -1.0), {}, {}).sum().backward();
    parameters.collect();
    optimizer->step(parameters.gradients(parameters.groups()[0]), spacing / 8);
    parameters.publish();
    parameters.clear_gradients();
    CHECK(parameters.values()[0].item<double>() == doctest::Approx(1 + step * spacing / 8).epsilon(1e-6));
    CHECK(model.gain().item<double>() == (step <= 4 ? 1.0 : 1 + spacing));  // the nearest bf16 number; halves go to the even one
  }
  const auto folder = fresh_folder("bf16_result");
  trainable.write(folder / "unet");
  const Tensor saved = SafetensorsFile(folder / "unet/diffusion_pytorch_model.safetensors").tensor("gain");
  CHECK(saved.equal(parameters.values()[0]));  // float32
}

TEST_CASE("trainable: in bf16 the gradients of several backward passes add up in float32") {
  ToyDenoiser model(1.0);
  const Trainable trainable = Trainable::whole(model, torch::kBFloat16);
  Parameters parameters;
  parameters.add(trainable.group());
  for (const double gradient : {1.0, spacing / 8, spacing / 8}) {
    model.predict(torch::full({1}, gradient), {}, {}).sum().backward();
    parameters.collect();
  }
  CHECK(parameters.gradients(parameters.groups()[0])[0].item<double>() == 1 + spacing / 4);
  parameters.clear_gradients();
  model.predict(torch::full({1}, 2.0), {}, {}).sum().backward();
  parameters.collect();
  CHECK(parameters.gradients(parameters.groups()[0])[0].item<double>() == 2);
}

TEST_CASE("trainable: in float32 the values are the network's own weights") {
  ToyDenoiser model(1.0);
  const Trainable trainable = Trainable::whole(model, torch::kFloat);
  Parameters parameters;
  parameters.add(trainable.group());
  CHECK(parameters.values()[0].is_same(model.gain()));
  CHECK(parameters.count() == 1);
  CHECK(model.gain().requires_grad());
}
