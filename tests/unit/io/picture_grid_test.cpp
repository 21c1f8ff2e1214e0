#include "palate/io/picture_grid.h"

#include <doctest/doctest.h>
#include <torch/types.h>

using namespace palate;

namespace {

// Pictures of one pixel each: 1, 2, 3, ...
Tensor pixels(int64_t count) {
  return torch::arange(1, count + 1).to(torch::kUInt8).view({count, 1, 1, 1}).expand({count, 3, 1, 1}).contiguous();
}

}  // namespace

TEST_CASE("picture grid: about square, row by row, on the background") {
  // Five pictures: ceil(sqrt(5)) = 3 columns, 2 rows; the sixth cell stays 9.
  const Tensor grid = picture_grid(pixels(5), {.gap = 0, .background = {9, 9, 9}});
  CHECK(grid[0].equal(torch::tensor({{1, 2, 3}, {4, 5, 9}}, torch::kUInt8)));
  CHECK(grid[2].equal(grid[0]));
}

TEST_CASE("picture grid: gap, margin, magnification and columns") {
  // Two columns were asked for, one picture is there: 1 + 2 + 1 wide.
  const Tensor one = picture_grid(pixels(1), {.columns = 2, .scale = 2, .gap = 5, .margin = 1, .background = {7, 8, 9}});
  CHECK(one[0].equal(torch::tensor({{7, 7, 7, 7}, {7, 1, 1, 7}, {7, 1, 1, 7}, {7, 7, 7, 7}}, torch::kUInt8)));
  CHECK(one[1][0][0].item<int>() == 8);
  const Tensor column = picture_grid(pixels(2), {.columns = 1, .gap = 1, .background = {0, 0, 0}});
  CHECK(column[0].equal(torch::tensor({{1}, {0}, {2}}, torch::kUInt8)));
}

TEST_CASE("picture grid: of no picture is one pixel") {
  CHECK(picture_grid(torch::empty({0, 3, 4, 4}, torch::kUInt8)).sizes() == torch::IntArrayRef({3, 1, 1}));
}
