#include <webp/decode.h>

#include "palate/core/error.h"
#include "palate/io/image_codecs.h"

namespace palate {
namespace {

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the data ends too early";
    case VP8_STATUS_SUSPENDED:
      return "the data ends too early";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "not enough memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that the decoder does not know";
    default:
      return "the data is damaged";
  }
}

// The body of the RIFF chunk with this name, "" when there is none.
std::string_view chunk(std::string_view bytes, std::string_view name) {
  for (size_t at = 12; at + 8 <= bytes.size();) {
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i) size |= static_cast<size_t>(static_cast<uint8_t>(bytes[at + 4 + i])) << (8 * i);
    if (size > bytes.size() - at - 8) return "";
    if (bytes.substr(at, 4) == name) return bytes.substr(at + 8, size);
    at += 8 + size + size % 2;
  }
  return "";
}

}  // namespace

RawImage decode_webp(std::string_view bytes, const std::string& origin, int64_t max_pixels) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(data, bytes.size(), &features);
  check<FormatError>(status == VP8_STATUS_OK, origin, ": is a broken or truncated WebP: ", reason(status));
  check<FormatError>(!features.has_animation, origin, ": is an animated WebP, expected a still image");
  check_image_size(features.width, features.height, max_pixels, origin);
  RawImage image{features.width, features.height, {}, image_orientation(chunk(bytes, "EXIF"), chunk(bytes, "XMP "))};
  image.rgb.resize(static_cast<size_t>(image.width * image.height * 3));
  WebPDecoderConfig config;
  check(WebPInitDecoderConfig(&config) != 0, origin, ": the WebP decoder could not start");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.rgb.data(), static_cast<int>(image.width * 3), image.rgb.size()};
  const VP8StatusCode decoded = WebPDecode(data, bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  check<FormatError>(decoded == VP8_STATUS_OK, origin, ": is a broken or truncated WebP: ", reason(decoded));
  return image;
}

}  // namespace palate
