// Pictures to pixel_values against transformers' CLIPImageProcessor (make_clip_model.py).
#include "palate/pipeline/clip_image_processor.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

TEST_CASE("clip image processor: pictures of any shape, squared, squeezed and padded, equal transformers'") {
  const test::GoldenFile golden("clip_processors/pixel_values.safetensors");
  for (const std::string name : {"square", "squeezed", "padded"}) {
    const ClipImageProcessor processor(test::golden("clip_processors") / name, 224);
    for (int i = 0; i < 5; ++i) {
      const std::string number = std::to_string(i);
      const Tensor fitted = processor.fit(golden.at("picture." + number));
      golden.expect(name + "." + number, processor.pixel_values(fitted.unsqueeze(0))[0]);
      CHECK(fitted.size(1) == processor.height());
      CHECK(fitted.size(2) == processor.width());
    }
  }
}

TEST_CASE("clip image processor: what files may say") {
  const auto folder = test::fresh_folder("clip_image_processor");
  const Tensor grey = torch::full({3, 8, 16}, 128, torch::kUInt8);
  // No file: CLIP's own constants at the model's size.
  const ClipImageProcessor own(folder, 4);
  CHECK(own.fit(grey).sizes() == torch::IntArrayRef({3, 4, 4}));
  CHECK(own.pixel_values(grey.unsqueeze(0))[0][0][0][0].item<float>() == doctest::Approx((128 / 255.0 - 0.48145466) / 0.26862954));
  // transformers 5 writes one file for tokenizer and processor; old files give sizes as numbers.
  write_file(folder / "processor_config.json", R"({"image_processor": {"size": 6, "crop_size": 6, "do_normalize": false}})");
  const ClipImageProcessor shared(folder, 4);
  CHECK(shared.height() == 6);
  CHECK(shared.pixel_values(grey.unsqueeze(0))[0][0][0][0].item<float>() == doctest::Approx(128 / 255.0));
  const auto refused = [&](const std::string& text, const std::string& sentence) {
    write_file(folder / "preprocessor_config.json", text);
    CHECK_THROWS_WITH_AS(ClipImageProcessor(folder, 4), doctest::Contains(sentence.c_str()), Error);
  };
  refused(R"({"resample": 0})", "'resample' = 0 is not supported, expected 1 (lanczos), 2 (bilinear) or 3 (bicubic)");
  refused(R"({"size": {"longest_edge": 8}})", "'size' must be a size");
  refused(R"({"image_mean": [0.5]})", "'image_mean' must be three numbers, found [0.5]");
  refused(R"({"image_processor_type": "SiglipImageProcessor"})", "'image_processor_type'");
}
