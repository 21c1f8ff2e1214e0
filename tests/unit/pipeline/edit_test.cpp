// Pictures, masks and latents that sampling starts from.
#include "palate/pipeline/edit.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// White where x >= `from`.
fs::path half_white(const fs::path& file, int64_t height, int64_t width, int64_t from) {
  Tensor picture = torch::zeros({3, height, width}, torch::kUInt8);
  picture.narrow(2, from, width - from).fill_(255);
  write_png(file, picture);
  return file;
}

}  // namespace

TEST_CASE("edit: a mask is 1 where it is at least half white") {
  const fs::path folder = fresh_folder("edit_mask");
  Tensor picture = torch::zeros({3, 1, 4}, torch::kUInt8);
  const int levels[] = {0, 127, 128, 255};
  for (int64_t x = 0; x < 4; ++x) picture.select(2, x).fill_(levels[x]);
  write_png(folder / "mask.png", picture);
  expect_equal("levels", read_mask(folder / "mask.png", 1, 4), torch::tensor({0.0F, 0.0F, 1.0F, 1.0F}).view({1, 1, 1, 4}));
  // Green weighs 0.587 and red 0.299: half white on its own is the green one only.
  Tensor colours = torch::zeros({3, 1, 2}, torch::kUInt8);
  colours[0][0][0] = 255;
  colours[1][0][1] = 255;
  write_png(folder / "colours.png", colours);
  expect_equal("colours", read_mask(folder / "colours.png", 1, 2), torch::tensor({0.0F, 1.0F}).view({1, 1, 1, 2}));
}

TEST_CASE("edit: a mask of another size is stretched, and a black one is refused") {
  const fs::path folder = fresh_folder("edit_stretch");
  const Tensor mask = read_mask(half_white(folder / "small.png", 4, 4, 2), 16, 16);
  CHECK(mask.sizes() == torch::IntArrayRef({1, 1, 16, 16}));
  CHECK(mask.narrow(3, 0, 6).sum().item<double>() == 0);
  CHECK(mask.narrow(3, 10, 6).min().item<double>() == 1);
  write_png(folder / "black.png", torch::zeros({3, 4, 4}, torch::kUInt8));
  CHECK_THROWS_WITH_AS(read_mask(folder / "black.png", 4, 4), doctest::Contains("the mask is black everywhere"), UsageError);
}

TEST_CASE("edit: a picture becomes latents of its own size, cut to whole ones, or of the size asked for") {
  const fs::path folder = fresh_folder("edit_picture");
  Pipeline pipeline(golden("tiny_pipeline"));
  const int64_t factor = pipeline.autoencoder().factor();
  const fs::path picture = half_white(folder / "picture.png", 4 * factor + 1, 6 * factor, 3);
  GenerateOptions options;
  set_init_image(options, pipeline, picture);
  CHECK(options.height == 4 * factor);
  CHECK(options.width == 6 * factor);
  const Tensor resized = resize_image(read_image(picture), 4 * factor, 6 * factor, Filter::lanczos);
  expect_equal("the posterior's mean", options.init_latents, pipeline.to_latents(pipeline.encode_images(resized.unsqueeze(0)), {}));
  CHECK_FALSE(options.mask.defined());
  GenerateOptions asked;
  asked.height = asked.width = 2 * factor;
  set_init_image(asked, pipeline, picture, half_white(folder / "mask.png", 2 * factor, 2 * factor, factor));
  CHECK(asked.init_latents.sizes().slice(2) == torch::IntArrayRef({2, 2}));
  expect_equal("mask", asked.mask, torch::tensor({{0.0F, 1.0F}, {0.0F, 1.0F}}).view({1, 1, 2, 2}));
  CHECK_THROWS_WITH_AS(set_init_image(asked, pipeline, folder / "none.png"), doctest::Contains("there is no such picture"), UsageError);
}

TEST_CASE("edit: latents of a file, one row a picture") {
  const fs::path file = fresh_folder("edit_latents") / "latents.safetensors";
  save_safetensors(file, {{"latents", torch::ones({2, 4, 8, 8}, torch::kBFloat16)}, {"step_noise", torch::ones({3, 2, 4, 8, 8})}});
  GenerateOptions options;
  set_latents(options, file, 2);
  CHECK((options.starting_noise.scalar_type() == torch::kFloat32));
  CHECK(options.step_noise.size(0) == 3);
  CHECK_THROWS_WITH_AS(set_latents(options, file, 3), doctest::Contains("expected latents [3, C, H, W]"), UsageError);
  save_safetensors(file, {{"noise", torch::ones({1})}});
  CHECK_THROWS_WITH_AS(set_latents(options, file, 1), doctest::Contains("expected a tensor named 'latents', found noise"), UsageError);
}
