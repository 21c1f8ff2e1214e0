#include "palate/data/framing/buckets.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "palate/core/error.h"
#include "palate/data/pairs.h"

namespace palate {
namespace {

double shape_of(ImageSize size) { return static_cast<double>(size.width) / static_cast<double>(size.height); }
int64_t rounded(double side) { return static_cast<int64_t>(side + 0.5); }

std::vector<ImageSize> all_sizes(const ImageRule& rule) {
  const int64_t area = rule.resolution.width * rule.resolution.height, step = rule.step;
  const int64_t side = static_cast<int64_t>(std::sqrt(static_cast<double>(area)) / static_cast<double>(step)) * step;
  std::set<ImageSize> sizes = {{side, side}};
  for (int64_t width = rule.min_side; width <= rule.max_side; width += step) {
    const int64_t height = std::min(rule.max_side, area / width / step * step);
    if (height < rule.min_side) continue;
    sizes.insert({width, height});
    sizes.insert({height, width});
  }
  return {sizes.begin(), sizes.end()};
}

}  // namespace

ImageRule config_rule(const DataConfig& config) {
  ImageRule rule;
  rule.resolution = {config.resolution, config.resolution};
  rule.buckets = config.enable_bucket;
  rule.min_side = config.min_bucket_reso;
  rule.max_side = config.max_bucket_reso;
  rule.step = config.bucket_reso_steps;
  rule.no_upscale = config.bucket_no_upscale;
  rule.random_crop = config.crop == "random";
  rule.flip = config.flip;
  return rule;
}

Buckets::Buckets(const ImageRule& rule) : rule_(rule) {
  const auto [width, height] = rule.resolution;
  if (!rule.buckets) {
    sizes_ = {rule.resolution};
    return;
  }
  check<UsageError>(std::min(width, height) >= rule.step, "bucket_reso_steps is ", rule.step, ", more than the resolution ", width, "x",
                    height, ": make the steps smaller or the resolution larger");
  if (rule.no_upscale) return;
  check<UsageError>(rule.max_side >= std::max({width, height, rule.min_side}), "max_bucket_reso is ", rule.max_side,
                    ", expected at least the resolution ", width, "x", height, " and min_bucket_reso ", rule.min_side);
  sizes_ = all_sizes(rule);
}

Fit Buckets::fit(ImageSize picture) const {
  if (sizes_.empty()) return shrink(picture);
  if (std::binary_search(sizes_.begin(), sizes_.end(), picture)) return {picture, picture};
  const double shape = shape_of(picture);
  const auto distance = [&](ImageSize size) { return std::abs(shape_of(size) - shape); };
  const auto nearest = std::min_element(sizes_.begin(), sizes_.end(), [&](ImageSize a, ImageSize b) { return distance(a) < distance(b); });
  return cover(picture, *nearest);
}

Fit Buckets::cover(ImageSize picture, ImageSize target) {
  const bool wider = shape_of(picture) > shape_of(target);
  const double scale = wider ? static_cast<double>(target.height) / static_cast<double>(picture.height)
                             : static_cast<double>(target.width) / static_cast<double>(picture.width);
  return {{rounded(static_cast<double>(picture.width) * scale), rounded(static_cast<double>(picture.height) * scale)}, target};
}

int64_t Buckets::to_step(double side) const { return rounded(side) / rule_.step * rule_.step; }

// Too large a picture is resized so that one side is a whole number of steps: the side that bends the shape less. What is
// over at the other is cut off.
Fit Buckets::shrink(ImageSize picture) const {
  const double area = static_cast<double>(rule_.resolution.width * rule_.resolution.height), shape = shape_of(picture);
  ImageSize resized = picture;
  if (static_cast<double>(picture.width * picture.height) > area) {
    const double free_width = std::sqrt(area * shape), free_height = area / free_width;
    const int64_t width = to_step(free_width), its_height = to_step(static_cast<double>(width) / shape);
    const int64_t height = to_step(free_height), its_width = to_step(static_cast<double>(height) * shape);
    check<DataError>(width > 0 && its_height > 0 && height > 0 && its_width > 0, "the picture of ", picture.width, "x", picture.height,
                     " pixels is too narrow for buckets in steps of ", rule_.step);
    if (std::abs(shape_of({width, its_height}) - shape) < std::abs(shape_of({its_width, height}) - shape))
      resized = {width, rounded(static_cast<double>(width) / shape)};
    else
      resized = {rounded(static_cast<double>(height) * shape), height};
  }
  const ImageSize target = {resized.width / rule_.step * rule_.step, resized.height / rule_.step * rule_.step};
  check<DataError>(target.width > 0 && target.height > 0, "the picture of ", picture.width, "x", picture.height,
                   " pixels is smaller than one step of the buckets (", rule_.step, "), and bucket_no_upscale forbids to enlarge it");
  return {resized, target};
}

}  // namespace palate
