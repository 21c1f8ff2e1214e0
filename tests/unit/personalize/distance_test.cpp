// Noise distance: nothing at first, and what a change of the network amounts to, bucket by bucket.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/adapters/lora.h"
#include "palate/core/generator.h"
#include "palate/nn/adaptable.h"
#include "palate/personalize/noise_distance.h"
#include "tests/support/paths.h"

using namespace palate;

TEST_CASE(
    "noise distance: zero for fresh adapters and one prompt, above it for another prompt or trained adapters; the base stays as it was") {
  const torch::NoGradGuard no_grad;
  Pipeline pipeline(test::repository() / "assets/base");
  pipeline.prompt_encoder().keep(true);
  const Lora lora = Lora::inject(pipeline.denoiser().module(), {.rank = 2}, 0);
  const Tensor latents = Generator({1, 0, 0, Purpose::test}).normal({2, 4, 16, 16});
  const std::vector<std::string> ring = {"a big red ring on a white background", "a big red ring on a grey background"},
                                 circle = {"a big red circle on a white background", "a big red circle on a grey background"};
  const DistanceOptions options{.buckets = 4, .draws = 3, .seed = 5};
  const auto measure = [&](const std::vector<std::string>& own) { return noise_distance(pipeline, latents, own, ring, options, "test"); };
  const auto same = measure(ring), other = measure(circle);
  REQUIRE(same.size() == 4);
  CHECK(same[0].t == doctest::Approx(125));
  CHECK(same[3].t == doctest::Approx(875));
  for (size_t i = 0; i < 4; ++i) {
    CHECK(same[i].value == 0);
    CHECK(same[i].error == 0);
    CHECK(other[i].value > 0);
    CHECK(other[i].error > 0);
  }
  for (const auto& [name, value] : lora.parameters()) {
    if (name.ends_with("lora_B.weight")) Tensor(value).fill_(0.05);
  }
  const auto trained = measure(ring), again = measure(ring);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(trained[i].value > 0);
    CHECK(trained[i].value == again[i].value);
  }
  CHECK(adapters_on());
}
