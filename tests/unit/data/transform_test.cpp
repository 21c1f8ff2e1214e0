#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/data/framing/transform.h"
#include "tests/support/expect_close.h"

using namespace palate;
using namespace palate::test;

TEST_CASE("square: equals torchvision's resize and center crop on Pillow images") {
  const auto golden = load_golden("data_squares.safetensors");
  int count = 0;
  for (const auto& [name, source] : golden) {
    if (!name.starts_with("source.")) continue;
    const std::string rest = name.substr(7);
    const int64_t side = std::stoll(rest);
    expect_equal(rest, crop_square(source, side, {}), golden.at("square." + rest));
    ++count;
  }
  CHECK(count == 6);
}

TEST_CASE("square: images of a pair are cut at the same relative place, whatever their sizes") {
  // A ramp from left to right: the cut's mean tells where it was made. One image is twice the other's size.
  const Tensor small = torch::arange(64).to(torch::kByte).view({1, 1, 64}).expand({3, 16, 64}).contiguous();
  const Tensor large = small.repeat_interleave(2, 1).repeat_interleave(2, 2);
  double lowest = 64, highest = 0;
  for (int64_t variant = 0; variant < 40; ++variant) {
    const CropPlace place = crop_place(77, variant, "random", false);
    const Tensor a = crop_square(small, 16, place), b = crop_square(large, 16, place);
    REQUIRE(a.sizes().vec() == std::vector<int64_t>{3, 16, 16});
    const double x = a.to(torch::kFloat).mean().item<double>(), y = b.to(torch::kFloat).mean().item<double>();
    CHECK(std::abs(x - y) < 0.6);  // the resized ramp is rounded to whole values
    lowest = std::min(lowest, x), highest = std::max(highest, x);
  }
  // Means lie between 7.5 (left end) and 55.5 (right end), evenly: 40 draws reach the outer fifths almost surely.
  CHECK(lowest < 17);
  CHECK(highest > 46);
}

TEST_CASE("crop place: keyed by pair and variant; half of the variants are flipped; a center crop draws nothing") {
  int flips = 0;
  for (int64_t variant = 0; variant < 400; ++variant) flips += crop_place(5, variant, "center", true).flip;
  CHECK(std::abs(flips - 200) < 50);  // five standard deviations of a binomial
  const CropPlace a = crop_place(5, 2, "random", true), again = crop_place(5, 2, "random", true), other = crop_place(6, 2, "random", true);
  CHECK(a.x == again.x);
  CHECK(a.y == again.y);
  CHECK(a.x != other.x);
  CHECK(crop_place(5, 2, "center", false).center);
  CHECK_FALSE(crop_place(5, 2, "center", false).flip);
}

TEST_CASE("square: a flip mirrors the cut") {
  const auto golden = load_golden("data_squares.safetensors");
  const Tensor source = golden.at("source.16.61x40");
  CropPlace place;
  const Tensor plain = crop_square(source, 16, place);
  place.flip = true;
  expect_equal("flipped", crop_square(source, 16, place), plain.flip({2}).contiguous());
}

TEST_CASE("time ids: size and crop of a picture; of two, the one with fewer pixels counts") {
  // Sides to 16: 32x64 becomes 16x32, cut at the middle: left = (32 - 16) / 2; 48x48 becomes 16x16, where nothing is free.
  CHECK(time_ids_of(crop_box(32, 64, 16, {}), {16, 16}) == std::array<float, 6>{32, 64, 0, 8, 16, 16});
  CHECK(time_ids_of(crop_box(48, 48, 16, {}), {16, 16}) == std::array<float, 6>{48, 48, 0, 0, 16, 16});
  CHECK(smaller({64, 32}, {48, 48}));  // 2048 pixels against 2304
  CHECK_FALSE(smaller({48, 48}, {64, 32}));
  CHECK(smaller({64, 32}, {32, 64}));  // as many: the lower one
  // A flip after the crop is a crop of the flipped picture from the other side.
  const CropPlace place{.center = false, .x = 0, .y = 0, .flip = true};
  CHECK(crop_box(32, 64, 16, place).left == 16);
}
