// transformers' CLIPImageProcessor (its Pillow backend): resize, crop from the centre, scale, normalise.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "palate/core/tensor.h"
#include "palate/io/image.h"

namespace palate {

class ClipImageProcessor {
 public:
  // FOLDER's preprocessor_config.json, or the image_processor of its processor_config.json; where it has neither, CLIP's own constants for
  // pictures of `side`. FormatError for values of another kind, UsageError for what is not supported, naming the key.
  ClipImageProcessor(const std::filesystem::path& folder, int64_t side);

  int64_t height() const { return height_; }  // of what fit() gives; 0 when that depends on the picture
  int64_t width() const { return width_; }
  // uint8 [3, H, W] of any size -> uint8 [3, height, width]. A picture too small for the crop gets black edges, as in transformers.
  Tensor fit(const Tensor& picture) const;
  // uint8 [B, 3, h, w] -> float32 pixel_values of the same shape.
  Tensor pixel_values(const Tensor& pictures) const;
  std::string identity() const;  // all that fit() depends on, in one line

 private:
  Tensor crop(const Tensor& picture) const;

  bool resize_ = true, crop_ = true, normalize_ = true;
  int64_t shortest_edge_ = 0, resize_height_ = 0, resize_width_ = 0;  // one edge, or both sides
  int64_t crop_height_ = 0, crop_width_ = 0, height_ = 0, width_ = 0;
  Filter filter_ = Filter::bicubic;
  double scale_ = 1.0 / 255;
  std::array<double, 3> mean_ = {0.48145466, 0.4578275, 0.40821073}, std_ = {0.26862954, 0.26130258, 0.27577711};  // OpenAI's
};

}  // namespace palate
