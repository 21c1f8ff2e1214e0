#include "palate/io/image_codecs.h"
#include "tests/fuzz/targets.h"

void palate::fuzz::image(std::string_view bytes) {
  constexpr int64_t most = 1 << 16;
  const RawImage image = decode_rows(bytes, "fuzz", most);
  promise(image.width > 0 && image.height > 0 && image.width * image.height <= most, "the size is out of bounds");
  promise(image.rgb.size() == static_cast<size_t>(3 * image.width * image.height), "the pixels are not the size");
  promise(image.orientation >= 1 && image.orientation <= 8, "the orientation is none");
}
