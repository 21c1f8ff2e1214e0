// From a decoded image to the square that the model sees, as Diffusion-DPO's training script does it: short side to the
// resolution (bilinear, Pillow's), then a crop, then perhaps a flip. Unlike there, both images of a pair share the crop's
// place and the flip, so that "cut off at the left" or "mirrored" is never what tells winner from loser.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "palate/core/tensor_fwd.h"
#include "palate/data/framing/buckets.h"

namespace palate {

// Where to cut: the share of the free space on each axis, in [0, 1).
struct CropPlace {
  bool center = true;
  double x = 0.5, y = 0.5;  // not used by a center crop, which rounds as torchvision does
  bool flip = false;
};

// The place for one variant of a pair, keyed by (id, variant): the same in every run, whatever its seed, because runs
// with different seeds share one cache.
CropPlace crop_place(uint64_t id, int64_t variant, const std::string& crop, bool flip);

// What `crop_square` does to a picture of this size, in pixels of the picture and of the resized one (as it is after the flip).
struct CropBox {
  int64_t height, width;  // of the picture
  int64_t resized_height, resized_width;
  int64_t top, left;  // of the crop in the resized picture
};
CropBox crop_box(int64_t height, int64_t width, int64_t side, const CropPlace& place);
// The same for a bucket. A center crop rounds down, as sd-scripts does.
CropBox fit_box(ImageSize picture, const Fit& fit, const CropPlace& place);

// SDXL's micro-conditioning: {height, width, top, left, target height, target width}.
std::array<float, 6> time_ids_of(const CropBox& box, ImageSize target);
// Fewer pixels, or lower where they have equally many: both pictures of a pair share what is told of the smaller one, so that it does not
// depend on which of them was chosen.
bool smaller(ImageSize a, ImageSize b);

// uint8 [3, H, W] -> uint8 [3, side, side], contiguous.
Tensor crop_square(const Tensor& image, int64_t side, const CropPlace& place);
// The same for a bucket: [3, target height, target width].
Tensor cut(const Tensor& image, const Fit& fit, const CropPlace& place);

}  // namespace palate
