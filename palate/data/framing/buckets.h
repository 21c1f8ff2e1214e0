// Aspect-ratio buckets by the rules of kohya's sd-scripts (BucketManager): pictures keep their shape, and a batch holds
// pictures of one shape.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

namespace palate {

struct DataConfig;

struct ImageSize {  // in pixels
  int64_t width = 0, height = 0;
  auto operator<=>(const ImageSize&) const = default;
};

// How a picture becomes what the model sees.
struct ImageRule {
  ImageSize resolution;  // its product is a bucket's largest area; without buckets every picture becomes this size
  bool buckets = false;
  int64_t min_side = 256, max_side = 1024, step = 64;  // of buckets; min and max do not matter with no_upscale
  bool no_upscale = false;                             // buckets follow from the pictures, which are never enlarged
  bool random_crop = false, flip = false;
  bool kohya = false;  // sizes are rounded as sd-scripts does even without buckets
};

ImageRule config_rule(const DataConfig& config);

// What a picture is resized to, and the size that is cut from it.
struct Fit {
  ImageSize resized, target;
};

class Buckets {
 public:
  explicit Buckets(const ImageRule& rule);  // UsageError for sides and steps that leave no bucket

  Fit fit(ImageSize picture) const;                               // DataError when the picture is smaller than one step
  static Fit cover(ImageSize picture, ImageSize target);          // the smallest size of this shape that covers the target
  const std::vector<ImageSize>& sizes() const { return sizes_; }  // ascending by width, then height; none with no_upscale

 private:
  Fit shrink(ImageSize picture) const;
  int64_t to_step(double side) const;
  ImageRule rule_;
  std::vector<ImageSize> sizes_;
};

}  // namespace palate
