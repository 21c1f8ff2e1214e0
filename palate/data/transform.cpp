#include "palate/data/transform.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/generator.h"
#include "palate/io/image.h"

namespace palate {
namespace {

int64_t offset(int64_t free, bool center, double share) {
  if (free == 0) return 0;
  // torchvision's center_crop: int(round(free / 2.0)), and Python rounds halves to even.
  if (center) return static_cast<int64_t>(std::nearbyint(static_cast<double>(free) / 2.0));
  return std::min(free, static_cast<int64_t>(share * static_cast<double>(free + 1)));
}

}  // namespace

CropPlace crop_place(uint64_t id, int64_t variant, const std::string& crop, bool flip) {
  CropPlace place;
  const auto draw = static_cast<uint64_t>(variant);
  if (crop == "random") {
    Generator g({0, id, draw, Purpose::crop});
    place.center = false;
    place.x = g.uniform();
    place.y = g.uniform();
  }
  if (flip) place.flip = Generator({0, id, draw, Purpose::flip}).uniform() < 0.5;
  return place;
}

CropBox crop_box(int64_t height, int64_t width, int64_t side, const CropPlace& place) {
  const int64_t low = std::min(height, width);
  // torchvision's Resize(side): int(side * long / short) for the longer side.
  const int64_t new_height = height <= width ? side : side * height / low;
  const int64_t new_width = width <= height ? side : side * width / low;
  const int64_t left = offset(new_width - side, place.center, place.x);
  return {height, width, new_height, new_width, offset(new_height - side, place.center, place.y), place.flip ? new_width - side - left : left};
}

std::array<float, 6> shared_time_ids(const CropBox& a, const CropBox& b, int64_t side) {
  const auto less = [](const CropBox& x, const CropBox& y) {
    return std::pair(x.height * x.width, x.height) < std::pair(y.height * y.width, y.height);
  };
  const CropBox& box = less(b, a) ? b : a;
  std::array<float, 6> ids{};
  const int64_t values[6] = {box.height, box.width, box.top, box.left, side, side};
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<float>(values[i]);
  return ids;
}

Tensor square(const Tensor& image, int64_t side, const CropPlace& place) {
  CropPlace unflipped = place;
  unflipped.flip = false;
  const CropBox box = crop_box(image.size(1), image.size(2), side, unflipped);
  Tensor resized = image;
  if (box.resized_height != box.height || box.resized_width != box.width) resized = resize_image(image, box.resized_height, box.resized_width, Filter::bilinear);
  Tensor cut = resized.slice(1, box.top, box.top + side).slice(2, box.left, box.left + side);
  return place.flip ? cut.flip({2}) : cut.contiguous();
}

}  // namespace palate
