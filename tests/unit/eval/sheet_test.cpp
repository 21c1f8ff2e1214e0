#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/eval/sheet.h"

using namespace palate;

TEST_CASE("sheet: the winner's frame is green, a tie's frames are grey") {
  const Tensor black = torch::zeros({2, 3, 8, 8}, torch::kUInt8);
  const Tensor sheet = pair_sheet(black, black, {1.0, 0.0}, 0.1, {.columns = 1, .scale = 1});
  // One pair is 2 x (8 + 2 * 4) wide; the sheet adds a gap of 12 on each side.
  CHECK(sheet.size(2) == 12 + 32 + 12);
  const auto green_at = [&](int64_t y, int64_t x) { return sheet[1][y][x].item<int>() == 163; };
  CHECK(green_at(12, 12 + 16));  // right picture of the first pair: ours wins
  CHECK_FALSE(green_at(12, 12));
  CHECK(sheet[0][12 + 16 + 12][12].item<int>() == 168);  // second pair: a tie
}

TEST_CASE("sheet: what is shown is spread evenly over the gains") {
  std::vector<double> gains;
  for (int i = 0; i < 100; ++i) gains.push_back(i);
  const auto shown = spread(gains, 4);  // sorted downwards 99..0, the middles of four quarters: 12, 37, 62, 87 from the top
  CHECK(shown == std::vector<int64_t>{99 - 12, 99 - 37, 99 - 62, 99 - 87});
  CHECK(spread({1, 2}, 5).size() == 2);
  CHECK(spread({1, std::nan(""), 2}, 5) == std::vector<int64_t>{2, 0});  // what has no score cannot be shown as won or lost
}
