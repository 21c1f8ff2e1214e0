// What the codecs share: which one reads the bytes, the limit on pixels, and the orientation.
#include "palate/core/error.h"
#include "palate/io/image_codecs.h"

namespace palate {
namespace {

// Numbers of a TIFF block in the byte order that its first two letters say; 0 outside the block.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), little_(bytes.starts_with("II")) {}
  bool valid() const { return (little_ || bytes_.starts_with("MM")) && number(2, 2) == 42; }
  uint32_t number(size_t at, int size) const {
    if (at > bytes_.size() || bytes_.size() - at < static_cast<size_t>(size)) return 0;
    uint32_t value = 0;
    for (int i = 0; i < size; ++i) {
      const auto byte = static_cast<uint8_t>(bytes_[at + static_cast<size_t>(little_ ? size - 1 - i : i)]);
      value = value << 8 | byte;
    }
    return value;
  }

 private:
  std::string_view bytes_;
  bool little_;
};

constexpr uint32_t orientation_tag = 0x0112;

int from_exif(std::string_view exif) {
  constexpr std::string_view prefix("Exif\0\0", 6);
  while (exif.starts_with(prefix)) exif.remove_prefix(prefix.size());
  const Tiff tiff(exif);
  if (!tiff.valid()) return 0;
  const size_t directory = tiff.number(4, 4);
  const uint32_t entries = tiff.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry + 12 > exif.size()) return 0;
    if (tiff.number(entry, 2) != orientation_tag || tiff.number(entry + 4, 4) != 1) continue;
    const uint32_t type = tiff.number(entry + 2, 2);
    const int size = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
    const uint32_t value = size > 0 ? tiff.number(entry + 8, size) : 0;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 0;
}

int from_xmp(std::string_view xmp) {
  constexpr std::string_view name = "tiff:Orientation";
  for (size_t at = xmp.find(name); at != std::string_view::npos; at = xmp.find(name, at + 1)) {
    std::string_view rest = xmp.substr(at + name.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return 0;
}

}  // namespace

RawImage decode_rows(std::string_view bytes, const std::string& origin, int64_t max_pixels) {
  if (bytes.starts_with("\xFF\xD8\xFF")) return decode_jpeg(bytes, origin, max_pixels);
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return decode_png(bytes, origin, max_pixels);
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP")) return decode_webp(bytes, origin, max_pixels);
  fail<FormatError>(origin, ": expected a JPEG, PNG or WebP image, found ", bytes.empty() ? "no bytes" : "something else");
}

void check_image_size(int64_t width, int64_t height, int64_t max_pixels, const std::string& origin) {
  check<FormatError>(width > 0 && height > 0, origin, ": has no pixels (", width, " x ", height, ")");
  check<FormatError>(height <= max_pixels / width, origin, ": an image of ", width, " x ", height, " is refused, expected at most ",
                     max_pixels, " pixels");
}

int image_orientation(std::string_view exif, std::string_view xmp) {
  int value = from_exif(exif);
  if (value == 0) value = from_xmp(xmp);
  return value >= 1 && value <= 8 ? value : 1;
}

}  // namespace palate
