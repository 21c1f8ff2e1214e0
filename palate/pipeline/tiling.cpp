#include "palate/pipeline/tiling.h"

#include <torch/types.h>

#include <algorithm>
#include <vector>

namespace palate {
namespace {

// The first rows (axis 2) or columns (3) of `tile` fade in from the last ones of the tile before it.
void blend(const Tensor& before, Tensor& tile, int64_t axis, int64_t wanted) {
  const int64_t extent = std::min({before.size(axis), tile.size(axis), wanted});
  if (extent == 0) return;
  std::vector<int64_t> shape(4, 1);
  shape[static_cast<size_t>(axis)] = extent;
  const Tensor share = (torch::arange(extent, tile.options()) / static_cast<double>(extent)).view(shape);
  Tensor first = tile.narrow(axis, 0, extent);
  first.copy_(before.narrow(axis, before.size(axis) - extent, extent) * (1 - share) + first * share);
}

}  // namespace

Tensor in_tiles(const Tensor& x, const Tiling& tiling, const std::function<Tensor(const Tensor&)>& model) {
  if (x.size(2) <= tiling.tile && x.size(3) <= tiling.tile) return model(x);
  const auto stride = static_cast<int64_t>(static_cast<double>(tiling.tile) * (1 - tiling.overlap));
  const auto extent = static_cast<int64_t>(static_cast<double>(tiling.out_tile) * tiling.overlap);
  const int64_t kept = tiling.out_tile - extent;
  const auto side = [](const Tensor& t, int64_t axis, int64_t from, int64_t size) {
    return t.narrow(axis, from, std::min(size, t.size(axis) - from));
  };
  std::vector<Tensor> above, rows;
  for (int64_t i = 0; i < x.size(2); i += stride) {
    std::vector<Tensor> row, parts;
    for (int64_t j = 0; j < x.size(3); j += stride) {
      Tensor tile = model(side(side(x, 2, i, tiling.tile), 3, j, tiling.tile)).contiguous();
      if (!above.empty()) blend(above[row.size()], tile, 2, extent);
      if (!row.empty()) blend(row.back(), tile, 3, extent);
      parts.push_back(side(side(tile, 2, 0, kept), 3, 0, kept));
      row.push_back(std::move(tile));
    }
    rows.push_back(torch::cat(parts, 3));
    above = std::move(row);
  }
  return torch::cat(rows, 2);
}

}  // namespace palate
