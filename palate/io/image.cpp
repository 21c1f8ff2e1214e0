#include "palate/io/image.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image_codecs.h"

namespace palate {
namespace {

// Interleaved rows to planes, turned upright on the way: output (x, y) comes from input (x', y') (ImageOps.exif_transpose).
Tensor upright(const RawImage& image) {
  const int64_t w = image.width, h = image.height;
  const bool turned = image.orientation >= 5;
  const int64_t out_w = turned ? h : w, out_h = turned ? w : h;
  // x' = across.start + x * across.x + y * across.y as one offset into the input.
  int64_t start = 0, step_x = 1, step_y = w;
  switch (image.orientation) {
    case 2:
      start = w - 1, step_x = -1, step_y = w;
      break;
    case 3:
      start = h * w - 1, step_x = -1, step_y = -w;
      break;
    case 4:
      start = (h - 1) * w, step_x = 1, step_y = -w;
      break;
    case 5:
      start = 0, step_x = w, step_y = 1;
      break;
    case 6:
      start = (h - 1) * w, step_x = -w, step_y = 1;
      break;
    case 7:
      start = h * w - 1, step_x = -w, step_y = -1;
      break;
    case 8:
      start = w - 1, step_x = w, step_y = -1;
      break;
    default:
      break;
  }
  Tensor out = torch::empty({3, out_h, out_w}, torch::kUInt8);
  uint8_t* planes = out.data_ptr<uint8_t>();
  const int64_t plane = out_h * out_w;
  for (int64_t y = 0; y < out_h; ++y) {
    for (int64_t x = 0; x < out_w; ++x) {
      const uint8_t* from = image.rgb.data() + 3 * (start + x * step_x + y * step_y);
      for (int64_t c = 0; c < 3; ++c) planes[c * plane + y * out_w + x] = from[c];
    }
  }
  return out;
}

Tensor checked_image(const Tensor& image, const char* what) {
  check(image.scalar_type() == torch::kUInt8 && image.dim() == 3 && image.size(0) == 3 && image.numel() > 0, what,
        ": expected a uint8 image [3, H, W], found ", show_shape(image.sizes()));
  return image.cpu();
}

}  // namespace

Tensor decode_image(std::string_view bytes, const std::string& origin, int64_t max_pixels) {
  return upright(decode_rows(bytes, origin, max_pixels));
}

Tensor read_image(const std::filesystem::path& path) { return decode_image(read_file(path), path.string()); }

std::string encode_png(const Tensor& image) {
  const Tensor rows = checked_image(image, "encode_png").permute({1, 2, 0}).contiguous();
  return encode_png_rows(rows.data_ptr<uint8_t>(), rows.size(1), rows.size(0));
}

std::string encode_jpeg(const Tensor& image, int quality) {
  check(quality >= 1 && quality <= 100, "encode_jpeg: expected a quality of 1 to 100, found ", quality);
  const Tensor rows = checked_image(image, "encode_jpeg").permute({1, 2, 0}).contiguous();
  return encode_jpeg_rows(rows.data_ptr<uint8_t>(), rows.size(1), rows.size(0), quality);
}

void write_png(const std::filesystem::path& path, const Tensor& image) { write_file(path, encode_png(image)); }

Tensor resize_image(const Tensor& image, int64_t height, int64_t width, Filter filter) {
  check(height > 0 && width > 0, "resize_image: expected a positive size, found ", height, " x ", width);
  const Tensor in = checked_image(image, "resize_image").contiguous();
  Tensor out = torch::empty({3, height, width}, torch::kUInt8);
  const int64_t in_plane = in.size(1) * in.size(2), out_plane = height * width;
  for (int64_t c = 0; c < 3; ++c) {
    resize_plane(in.data_ptr<uint8_t>() + c * in_plane, in.size(1), in.size(2), out.data_ptr<uint8_t>() + c * out_plane, height, width,
                 filter);
  }
  return out;
}

Tensor to_unit(const Tensor& bytes) { return bytes.to(torch::kFloat32).div_(255); }
Tensor to_signed(const Tensor& bytes) { return bytes.to(torch::kFloat32).div_(127.5).sub_(1); }
Tensor from_unit(const Tensor& values) {
  return values.detach().to(torch::kFloat32).nan_to_num(0.0).clamp(0, 1).mul_(255).round_().to(torch::kUInt8);
}

}  // namespace palate
