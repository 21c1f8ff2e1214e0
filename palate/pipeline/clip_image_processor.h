// transformers' CLIPImageProcessor (its Pillow backend): resize, crop from the centre, scale, normalise.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "palate/core/tensor.h"
#include "palate/io/image.h"

namespace palate {

// What a picture is brought to: its shortest edge, or both sides.
struct EdgeSize {
  int64_t shortest = 0, height = 0, width = 0;
};

class ClipImageProcessor {
 public:
  // FOLDER's preprocessor_config.json, or the image_processor of its processor_config.json; where it has neither, CLIP's own constants for
  // pictures of `side`. FormatError for values of another kind, UsageError for what is not supported, naming the key.
  ClipImageProcessor(const std::filesystem::path& folder, int64_t side);

  int64_t height() const { return crop_ ? cut_.height : resize_ ? size_.height : 0; }  // of what fit() gives; 0: it depends on the picture
  int64_t width() const { return crop_ ? cut_.width : resize_ ? size_.width : 0; }
  // uint8 [3, H, W] of any size -> uint8 [3, height, width]. A picture too small for the crop gets black edges, as in transformers.
  Tensor fit(const Tensor& picture) const;
  // uint8 [B, 3, h, w] -> float32 pixel_values of the same shape.
  Tensor pixel_values(const Tensor& pictures) const;
  std::string identity() const;  // all that fit() depends on, in one line

 private:
  Tensor crop(const Tensor& picture) const;

  bool resize_ = true, crop_ = true, normalize_ = true;
  EdgeSize size_, cut_;  // of the resized picture, and of what is cut from it (both sides)
  Filter filter_ = Filter::bicubic;
  double scale_ = 1.0 / 255;
  std::array<double, 3> mean_ = {0.48145466, 0.4578275, 0.40821073}, std_ = {0.26862954, 0.26130258, 0.27577711};  // OpenAI's
};

}  // namespace palate
