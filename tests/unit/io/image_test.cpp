// Pixels and resizes against Pillow's (tests/golden/make_io.py).
#include "palate/io/image.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;

namespace {

std::string bytes_of(const Tensor& t) { return {static_cast<const char*>(t.data_ptr()), t.nbytes()}; }

// The worst difference of two pictures, in steps of 1 / 255.
int64_t worst(const Tensor& a, const Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a.to(torch::kInt) - b.to(torch::kInt)).abs().max().item<int64_t>();
}

}  // namespace

TEST_CASE("images: every pixel equals Pillow's, for each codec, mode and orientation") {
  int count = 0;
  const auto tensors = load_golden("io/images.safetensors");
  for (const auto& [name, pixels] : tensors) {
    if (!name.starts_with("pixels.")) continue;
    const std::string file = name.substr(7);
    INFO(file);
    CHECK(worst(decode_image(bytes_of(tensors.at("file." + file)), file), pixels) == 0);
    ++count;
  }
  CHECK(count > 40);
}

TEST_CASE("images: resizing equals Pillow's to the bit, up, down, to odd sizes, and whichever side goes first") {
  const auto tensors = load_golden("io/resize.safetensors");
  const std::map<std::string, Filter> filters = {
      {"bilinear", Filter::bilinear}, {"bicubic", Filter::bicubic}, {"lanczos", Filter::lanczos}};
  for (int i = 0; i < 10; ++i) {
    const std::string prefix = std::to_string(i) + ".";
    for (const auto& [name, filter] : filters) {
      const Tensor& expected = tensors.at(prefix + name);
      INFO(prefix, name);
      CHECK(worst(resize_image(tensors.at(prefix + "in"), expected.size(1), expected.size(2), filter), expected) == 0);
    }
  }
}

TEST_CASE("images: truncated at every length, each codec says FormatError and names its origin") {
  const auto tensors = load_golden("io/images.safetensors");
  for (const char* name :
       {"jpeg_420.jpg", "jpeg_progressive.jpg", "png_rgba.png", "png_palette4.png", "webp_lossy_alpha.webp", "webp_lossless.webp"}) {
    const std::string whole = bytes_of(tensors.at(std::string("file.") + name));
    for (size_t length = 0; length + 3 < whole.size(); length += 1 + whole.size() / 60) {
      INFO(name, " cut to ", length, " of ", whole.size());
      const std::string text = message<FormatError>([&] { decode_image(whole.substr(0, length), name); });
      CHECK(text.starts_with(name));
    }
  }
}

TEST_CASE("images: a JPEG without its end marker is whole; what is no image, too large, or animated is refused") {
  const auto tensors = load_golden("io/images.safetensors");
  const std::string jpeg = bytes_of(tensors.at("file.jpeg_420.jpg"));
  CHECK(worst(decode_image(jpeg.substr(0, jpeg.size() - 2), "a"), tensors.at("pixels.jpeg_420.jpg")) == 0);
  CHECK(has(message<FormatError>([] { decode_image("GIF89a", "row 7"); }),
            "row 7: expected a JPEG, PNG or WebP image, found something else"));
  CHECK(has(message<FormatError>([] { decode_image("", "row 7"); }), "found no bytes"));
  for (const char* name : {"jpeg_420.jpg", "png_rgb.png", "webp_lossy.webp"}) {
    CHECK(has(message<FormatError>([&] { decode_image(bytes_of(tensors.at(std::string("file.") + name)), "a", 53 * 37 - 1); }),
              "53 x 37 is refused"));
  }
  CHECK(has(message<FormatError>([&] { decode_image(bytes_of(tensors.at("file.webp_animated.webp")), "a"); }), "animated"));
}

TEST_CASE("images: damaged entropy data in a JPEG is found") {
  const auto tensors = load_golden("io/images.safetensors");
  std::string jpeg = bytes_of(tensors.at("file.jpeg_444.jpg"));
  for (size_t i = jpeg.size() / 2; i < jpeg.size() / 2 + 40; ++i) jpeg[i] = '\xff';
  CHECK_THROWS_AS(decode_image(jpeg, "a"), FormatError);
}

TEST_CASE("images: PNG round trip is exact, JPEG's is close, files are written whole") {
  const Tensor picture = load_golden("io/images.safetensors").at("pixels.png_rgb.png");
  const auto path = fresh_folder("png") / "a.png";
  write_png(path, picture);
  expect_equal("png", read_image(path), picture);
  const Tensor smooth = torch::arange(3 * 32 * 32).reshape({3, 32, 32}).div(12, "floor").to(torch::kUInt8);
  CHECK(worst(decode_image(encode_jpeg(smooth, 98), "a"), smooth) <= 6);
  CHECK(encode_jpeg(smooth, 50).size() < encode_jpeg(smooth, 95).size());
  expect_equal("strided", decode_image(encode_png(picture.transpose(1, 2)), "a"), picture.transpose(1, 2).contiguous());
  CHECK_THROWS_AS(encode_png(torch::zeros({3, 4, 4})), Error);
  CHECK_THROWS_AS(encode_png(torch::zeros({1, 4, 4}, torch::kUInt8)), Error);
}

TEST_CASE("images: ranges for models, and rounding back as numpy rounds") {
  const auto tensors = load_golden("io/resize.safetensors");
  expect_equal("rounding", from_unit(tensors.at("values")), tensors.at("values.bytes"));
  const Tensor all = torch::arange(256).to(torch::kUInt8);
  expect_equal("there and back", from_unit(to_unit(all)), all);
  CHECK(to_signed(all)[0].item<float>() == -1.0f);
  CHECK(to_signed(all)[255].item<float>() == 1.0f);
  CHECK(from_unit(torch::full({1}, NAN))[0].item<int>() == 0);
}

TEST_CASE("images: a real photograph decodes" * doctest::test_suite("shared") * doctest::skip(shared_missing({"dreambooth"}))) {
  const auto folder = shared_data("dreambooth");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".jpg") continue;
    const Tensor photo = read_image(entry.path());
    CHECK(photo.size(0) == 3);
    CHECK(photo.numel() > 3 * 256 * 256);
    break;
  }
}
