#include <turbojpeg.h>

#include <memory>

#include "palate/core/error.h"
#include "palate/io/image_codecs.h"

namespace palate {
namespace {

struct Close {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<void, Close>;

struct Markers {
  std::string exif, xmp;
  bool progressive = false;
};

// Walks the segments up to the first scan.
Markers read_markers(std::string_view bytes) {
  Markers markers;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  for (size_t at = 2; at + 4 <= bytes.size();) {
    if (byte(at) != 0xFF || byte(at + 1) == 0xFF) {
      ++at;
      continue;
    }
    const int marker = byte(at + 1);
    if (marker == 0xDA || marker == 0xD9) break;
    if (marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += 2;
      continue;
    }
    const size_t length = static_cast<size_t>(byte(at + 2)) << 8 | byte(at + 3);
    if (length < 2 || at + 2 + length > bytes.size()) break;
    const std::string_view body = bytes.substr(at + 4, length - 2);
    constexpr std::string_view exif("Exif\0\0", 6), xmp("http://ns.adobe.com/xap/1.0/\0", 29);
    if (marker == 0xE1 && body.starts_with(exif)) markers.exif += markers.exif.empty() ? body : body.substr(exif.size());
    if (marker == 0xE1 && body.starts_with(xmp)) markers.xmp = body.substr(xmp.size());
    if (marker == 0xC2 || marker == 0xCA) markers.progressive = true;
    at += 2 + length;
  }
  return markers;
}

std::string decode_pixels(tjhandle handle, std::string_view bytes, uint8_t* out, int width, int height, int format, int flags) {
  const int status = tjDecompress2(handle, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out, width, 0, height,
                                   format, flags | TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
  if (status == 0 || (!(flags & TJFLAG_STOPONWARNING) && tjGetErrorCode(handle) == TJERR_WARNING)) return "";
  return tjGetErrorStr2(handle);
}

// Decodes; damage is an error, oddities that every viewer forgives are not.
std::string decode_strictly(tjhandle handle, std::string_view bytes, const Markers& markers, uint8_t* out, int width, int height,
                            int format) {
  std::string problem = decode_pixels(handle, bytes, out, width, height, format, TJFLAG_STOPONWARNING);
  if (problem.find("Premature end of JPEG") != std::string::npos && !markers.progressive) {
    // Some cameras leave out the end marker. With one added, pixels that are really missing still give an error.
    problem = decode_pixels(handle, std::string(bytes) + "\xFF\xD9", out, width, height, format, TJFLAG_STOPONWARNING);
  }
  const bool harmless = problem.find("extraneous bytes before marker") != std::string::npos ||
                        problem.find("Adobe color transform") != std::string::npos || problem.find("JFIF") != std::string::npos ||
                        problem.find("Inconsistent progression") != std::string::npos;
  const std::string_view tail = bytes.substr(bytes.size() - std::min<size_t>(bytes.size(), 4096));
  if (harmless && tail.find("\xFF\xD9") != std::string_view::npos) return decode_pixels(handle, bytes, out, width, height, format, 0);
  return problem;
}

// As Pillow does it: Adobe's inverted CMYK whatever the marker says, then (255 - c) (255 - k) / 255 rounded as it rounds.
void cmyk_to_rgb(const std::vector<uint8_t>& cmyk, std::vector<uint8_t>& rgb) {
  const auto scaled = [](int a, int b) {
    const int product = a * b + 128;
    return ((product >> 8) + product) >> 8;
  };
  for (size_t i = 0; i * 4 < cmyk.size(); ++i) {
    const int black = cmyk[i * 4 + 3];  // stored inverted: 255 - k already
    for (size_t c = 0; c < 3; ++c) rgb[i * 3 + c] = static_cast<uint8_t>(black - scaled(255 - cmyk[i * 4 + c], black));
  }
}

}  // namespace

RawImage decode_jpeg(std::string_view bytes, const std::string& origin, int64_t max_pixels) {
  const Handle handle(tjInitDecompress());
  check<Error>(handle != nullptr, origin, ": the JPEG decoder could not start: ", tjGetErrorStr2(nullptr));
  int width = -1, height = -1, subsampling = -1, colors = -1;
  const int status = tjDecompressHeader3(handle.get(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), &width, &height,
                                         &subsampling, &colors);
  // Uncommon subsampling is called an error there, though the decoder takes it; the sizes are known by then.
  check<FormatError>(status == 0 || width > 0, origin, ": is a broken JPEG: ", tjGetErrorStr2(handle.get()));
  check_image_size(width, height, max_pixels, origin);
  const Markers markers = read_markers(bytes);
  RawImage image{width, height, {}, image_orientation(markers.exif, markers.xmp)};
  const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
  image.rgb.resize(pixels * 3);
  const bool cmyk = colors == TJCS_CMYK || colors == TJCS_YCCK;
  std::vector<uint8_t> inks(cmyk ? pixels * 4 : 0);
  const std::string problem =
      decode_strictly(handle.get(), bytes, markers, cmyk ? inks.data() : image.rgb.data(), width, height, cmyk ? TJPF_CMYK : TJPF_RGB);
  check<FormatError>(problem.empty(), origin, ": is a broken or truncated JPEG: ", problem);
  if (cmyk) cmyk_to_rgb(inks, image.rgb);
  return image;
}

std::string encode_jpeg_rows(const uint8_t* rgb, int64_t width, int64_t height, int quality) {
  const Handle handle(tjInitCompress());
  unsigned char* data = nullptr;
  unsigned long size = 0;
  const int status = tjCompress2(handle.get(), rgb, static_cast<int>(width), 0, static_cast<int>(height), TJPF_RGB, &data, &size,
                                 quality >= 95 ? TJSAMP_444 : TJSAMP_420, quality, TJFLAG_ACCURATEDCT);
  std::string out(reinterpret_cast<char*>(data), status == 0 ? size : 0);
  tjFree(data);
  check(status == 0, "the JPEG encoder failed on an image of ", width, " x ", height, ": ", tjGetErrorStr2(handle.get()));
  return out;
}

}  // namespace palate
