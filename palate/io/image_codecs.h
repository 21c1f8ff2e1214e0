// The codecs behind image.h, without torch: interleaved RGB rows, as the libraries give them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct RawImage {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // height * width * 3
  int orientation = 1;       // EXIF's: 1 upright, 2 to 8 mirrored or turned
};

// Each throws FormatError that begins with `origin`; the first goes by the bytes' first letters.
RawImage decode_rows(std::string_view bytes, const std::string& origin, int64_t max_pixels);
RawImage decode_jpeg(std::string_view bytes, const std::string& origin, int64_t max_pixels);
RawImage decode_png(std::string_view bytes, const std::string& origin, int64_t max_pixels);
RawImage decode_webp(std::string_view bytes, const std::string& origin, int64_t max_pixels);
std::string encode_png_rows(const uint8_t* rgb, int64_t width, int64_t height);
std::string encode_jpeg_rows(const uint8_t* rgb, int64_t width, int64_t height, int quality);

// FormatError unless both sides are positive and their product is at most max_pixels.
void check_image_size(int64_t width, int64_t height, int64_t max_pixels, const std::string& origin);

// The orientation that an EXIF block (with or without "Exif\0\0") or else an XMP packet asks for; 1 when neither says any.
int image_orientation(std::string_view exif, std::string_view xmp);

// Pillow's resampling of one plane: in [in_height][in_width] -> out [out_height][out_width]. Filters by name of image.h.
enum class Filter;
void resize_plane(const uint8_t* in, int64_t in_height, int64_t in_width, uint8_t* out, int64_t out_height, int64_t out_width,
                  Filter filter);

}  // namespace palate
