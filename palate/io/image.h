// Images as uint8 RGB tensors [3, H, W] on the CPU. Decoding equals Pillow's (JPEG with accurate DCT, EXIF orientation
// applied, alpha and grey brought to RGB as Image.convert("RGB") does), and so does resizing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "palate/core/tensor.h"

namespace palate {

// JPEG, PNG or WebP by content. FormatError says what is wrong and, by `origin`, where. Images of more than
// `max_pixels` are refused (a decompression bomb).
Tensor decode_image(std::string_view bytes, const std::string& origin, int64_t max_pixels = 178956970);
Tensor read_image(const std::filesystem::path& path);

std::string encode_png(const Tensor& image);                             // uint8 [3, H, W]
std::string encode_jpeg(const Tensor& image, int quality = 95);          // 4:4:4 from quality 95 on, else 4:2:0
void write_png(const std::filesystem::path& path, const Tensor& image);  // atomic

enum class Filter { bilinear, bicubic, lanczos };
// Equal to PIL.Image.resize((width, height), filter): antialiased, fixed point, uint8 between the two passes.
Tensor resize_image(const Tensor& image, int64_t height, int64_t width, Filter filter);

// uint8 [3, H, W] or [B, 3, H, W] <-> float32 in [0, 1] or, for models, [-1, 1].
Tensor to_unit(const Tensor& bytes);     // x / 255
Tensor to_signed(const Tensor& bytes);   // x / 127.5 - 1
Tensor from_unit(const Tensor& values);  // clamp, x * 255, round to nearest even as numpy does; uint8

}  // namespace palate
