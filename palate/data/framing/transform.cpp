#include "palate/data/framing/transform.h"

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
  return {
      height, width, new_height, new_width, offset(new_height - side, place.center, place.y), place.flip ? new_width - side - left : left};
}

CropBox fit_box(ImageSize picture, const Fit& fit, const CropPlace& place) {
  const auto start = [&](int64_t free, double share) { return place.center ? free / 2 : offset(free, false, share); };
  const int64_t free_width = fit.resized.width - fit.target.width, left = start(free_width, place.x);
  return {picture.height,
          picture.width,
          fit.resized.height,
          fit.resized.width,
          start(fit.resized.height - fit.target.height, place.y),
          place.flip ? free_width - left : left};
}

std::array<float, 6> time_ids_of(const CropBox& box, ImageSize target) {
  std::array<float, 6> ids{};
  const int64_t values[6] = {box.height, box.width, box.top, box.left, target.height, target.width};
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<float>(values[i]);
  return ids;
}

bool smaller(ImageSize a, ImageSize b) { return std::pair(a.height * a.width, a.height) < std::pair(b.height * b.width, b.height); }

namespace {

// `box` is of the place without its flip.
Tensor cut_box(const Tensor& image, const CropBox& box, ImageSize target, bool flip) {
  Tensor resized = image;
  if (box.resized_height != box.height || box.resized_width != box.width)
    resized = resize_image(image, box.resized_height, box.resized_width, Filter::bilinear);
  const Tensor found = resized.slice(1, box.top, box.top + target.height).slice(2, box.left, box.left + target.width);
  return flip ? found.flip({2}) : found.contiguous();
}

CropPlace unflipped(CropPlace place) {
  place.flip = false;
  return place;
}

}  // namespace

Tensor crop_square(const Tensor& image, int64_t side, const CropPlace& place) {
  return cut_box(image, crop_box(image.size(1), image.size(2), side, unflipped(place)), {side, side}, place.flip);
}

Tensor cut(const Tensor& image, const Fit& fit, const CropPlace& place) {
  return cut_box(image, fit_box({image.size(2), image.size(1)}, fit, unflipped(place)), fit.target, place.flip);
}

}  // namespace palate
