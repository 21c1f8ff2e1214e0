#include "palate/eval/sheet.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/io/picture_grid.h"

namespace palate {
namespace {

constexpr Colour paper{250, 250, 248}, winner{22, 163, 74}, tie{168, 168, 168};

// Small pictures are magnified until they are about 128 wide.
Tensor framed(const Tensor& picture, const Colour& colour, int64_t scale) {
  if (scale == 0) scale = std::max<int64_t>(1, 128 / picture.size(2));
  return picture_grid(picture.unsqueeze(0), {.scale = scale, .margin = 4, .background = colour});
}

}  // namespace

Tensor pair_sheet(const Tensor& base, const Tensor& ours, const std::vector<double>& gains, double margin, const SheetOptions& options) {
  std::vector<Tensor> pairs;
  for (int64_t i = 0; i < base.size(0); ++i) {
    const double gain = gains[static_cast<size_t>(i)];
    const Colour left = gain < -margin ? winner : gain > margin ? paper : tie;
    const Colour right = gain > margin ? winner : gain < -margin ? paper : tie;
    pairs.push_back(torch::cat({framed(base[i], left, options.scale), framed(ours[i], right, options.scale)}, 2));
  }
  return picture_grid(torch::stack(pairs), {.columns = options.columns, .gap = 12, .margin = 12, .background = paper});
}

std::vector<int64_t> spread(const std::vector<double>& gains, int64_t count) {
  std::vector<int64_t> order;
  for (size_t i = 0; i < gains.size(); ++i) {
    if (!std::isnan(gains[i])) order.push_back(static_cast<int64_t>(i));
  }
  const int64_t n = static_cast<int64_t>(order.size());
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return gains[static_cast<size_t>(a)] > gains[static_cast<size_t>(b)]; });
  if (n <= count) return order;
  std::vector<int64_t> shown;
  for (int64_t i = 0; i < count; ++i) shown.push_back(order[static_cast<size_t>((2 * i + 1) * n / (2 * count))]);
  return shown;
}

}  // namespace palate
