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

Tensor square(const Tensor& image, int64_t side, const CropPlace& place) {
  const int64_t height = image.size(1), width = image.size(2), low = std::min(height, width);
  // torchvision's Resize(side): int(side * long / short) for the longer side.
  const int64_t new_height = height <= width ? side : side * height / low;
  const int64_t new_width = width <= height ? side : side * width / low;
  Tensor resized = image;
  if (new_height != height || new_width != width) resized = resize_image(image, new_height, new_width, Filter::bilinear);
  const int64_t top = offset(new_height - side, place.center, place.y);
  const int64_t left = offset(new_width - side, place.center, place.x);
  Tensor cut = resized.slice(1, top, top + side).slice(2, left, left + side);
  return place.flip ? cut.flip({2}) : cut.contiguous();
}

}  // namespace palate
