#include "palate/eval/sheet.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace palate {
namespace {

using Colour = std::array<int, 3>;
constexpr Colour paper{250, 250, 248}, winner{22, 163, 74}, tie{168, 168, 168};

int64_t magnification(const Tensor& images, int64_t scale) { return scale > 0 ? scale : std::max<int64_t>(1, 128 / images.size(3)); }

Tensor magnify(const Tensor& image, int64_t scale) { return image.repeat_interleave(scale, 1).repeat_interleave(scale, 2); }

Tensor canvas(int64_t height, int64_t width, const Colour& colour) {
  return torch::tensor(std::vector<int>{colour[0], colour[1], colour[2]}, torch::kUInt8).view({3, 1, 1}).expand({3, height, width}).clone();
}

void paste(Tensor& sheet, const Tensor& image, int64_t y, int64_t x) {
  sheet.narrow(1, y, image.size(1)).narrow(2, x, image.size(2)).copy_(image);
}

Tensor framed(const Tensor& image, const Colour& colour, int64_t width) {
  Tensor frame = canvas(image.size(1) + 2 * width, image.size(2) + 2 * width, colour);
  paste(frame, image, width, width);
  return frame;
}

// Cells of equal size in rows, `gap` between them.
Tensor lay_out(const std::vector<Tensor>& cells, int64_t columns, int64_t gap) {
  if (cells.empty()) return canvas(1, 1, paper);
  const int64_t count = static_cast<int64_t>(cells.size()), rows = (count + columns - 1) / columns;
  const int64_t height = cells[0].size(1) + gap, width = cells[0].size(2) + gap;
  Tensor sheet = canvas(rows * height + gap, std::min(columns, count) * width + gap, paper);
  for (int64_t i = 0; i < count; ++i) paste(sheet, cells[static_cast<size_t>(i)], gap + i / columns * height, gap + i % columns * width);
  return sheet;
}

}  // namespace

Tensor grid_sheet(const Tensor& images, const SheetOptions& options) {
  const int64_t scale = magnification(images, options.scale);
  std::vector<Tensor> cells;
  for (int64_t i = 0; i < images.size(0); ++i) cells.push_back(magnify(images[i], scale));
  return lay_out(cells, options.columns, 6);
}

Tensor pair_sheet(const Tensor& base, const Tensor& ours, const std::vector<double>& gains, double margin, const SheetOptions& options) {
  const int64_t scale = magnification(base, options.scale), frame = 4;
  std::vector<Tensor> cells;
  for (int64_t i = 0; i < base.size(0); ++i) {
    const double gain = gains[static_cast<size_t>(i)];
    const Colour left = gain < -margin ? winner : gain > margin ? paper : tie;
    const Colour right = gain > margin ? winner : gain < -margin ? paper : tie;
    cells.push_back(torch::cat({framed(magnify(base[i], scale), left, frame), framed(magnify(ours[i], scale), right, frame)}, 2));
  }
  return lay_out(cells, options.columns, 12);
}

std::vector<int64_t> spread(const std::vector<double>& gains, int64_t count) {
  const int64_t n = static_cast<int64_t>(gains.size());
  std::vector<int64_t> order(gains.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return gains[static_cast<size_t>(a)] > gains[static_cast<size_t>(b)]; });
  if (n <= count) return order;
  std::vector<int64_t> shown;
  for (int64_t i = 0; i < count; ++i) shown.push_back(order[static_cast<size_t>((2 * i + 1) * n / (2 * count))]);
  return shown;
}

}  // namespace palate
