#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/train/unet_cost.h"

using namespace palate;

namespace {

Json sd15() {
  return {{"block_out_channels", {320, 640, 1280, 1280}},
          {"down_block_types", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"}},
          {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}},
          {"cross_attention_dim", 768},
          {"layers_per_block", 2},
          {"in_channels", 4},
          {"out_channels", 4}};
}

}  // namespace

TEST_CASE("forecast: the walk over SD1.5's layers finds the arithmetic that a profiler counted") {
  // 0.803 TFLOP a sample at 64x64 latents (torch's flop counter, 2 a multiply-add).
  CHECK(unet_cost(sd15(), 64, 77).flops == doctest::Approx(0.803e12).epsilon(0.02));
}

TEST_CASE("forecast: a larger picture, trained weights and no checkpointing cost more") {
  const UnetCost small = unet_cost(sd15(), 32, 77), large = unet_cost(sd15(), 64, 77);
  CHECK(large.flops > 4 * small.flops);  // attention grows faster than the area
  CHECK(large.saved_frozen == 4 * small.saved_frozen);
  CHECK(large.saved_trained > large.saved_frozen);
  CHECK(large.boundaries + large.largest_block < large.saved_frozen / 2);
  CHECK(large.blocks == 22 + 16);
}
