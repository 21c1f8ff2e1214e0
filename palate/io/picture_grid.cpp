#include "palate/io/picture_grid.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace palate {
namespace {

Tensor plain(int64_t height, int64_t width, const Colour& colour) {
  return torch::tensor({colour[0], colour[1], colour[2]}, torch::kUInt8).view({3, 1, 1}).expand({3, height, width}).clone();
}

}  // namespace

Tensor picture_grid(const Tensor& pictures, const GridOptions& options) {
  const int64_t count = pictures.size(0), scale = options.scale, gap = options.gap, margin = options.margin;
  if (count == 0) return plain(1, 1, options.background);
  const auto square = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int64_t columns = std::min(count, options.columns > 0 ? options.columns : square), rows = (count + columns - 1) / columns;
  const int64_t height = pictures.size(2) * scale + gap, width = pictures.size(3) * scale + gap;  // of a cell
  Tensor grid = plain(rows * height - gap + 2 * margin, columns * width - gap + 2 * margin, options.background);
  for (int64_t i = 0; i < count; ++i) {
    const Tensor shown = pictures[i].repeat_interleave(scale, 1).repeat_interleave(scale, 2);
    const int64_t y = margin + i / columns * height, x = margin + i % columns * width;
    grid.narrow(1, y, shown.size(1)).narrow(2, x, shown.size(2)).copy_(shown);
  }
  return grid;
}

}  // namespace palate
