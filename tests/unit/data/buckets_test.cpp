#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/data/framing/framing.h"
#include "palate/io/image.h"
#include "palate/io/json.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;

namespace {

ImageSize size_of(const Json& pair) { return {pair[0].get<int64_t>(), pair[1].get<int64_t>()}; }

std::string sized_png(int64_t height, int64_t width, uint8_t tone = 9) { return png(tone, height, width); }

PairRecord pair_of(const std::string& win, const std::string& lose) {
  PairRecord record;
  record.id = 3, record.prompt = "x", record.origin = "row 0", record.win = win, record.lose = lose;
  record.win_name = "win", record.lose_name = "lose";
  return record;
}

DataConfig small_buckets() {
  DataConfig config;
  config.resolution = 32;
  config.enable_bucket = true;
  config.min_bucket_reso = 16, config.max_bucket_reso = 64, config.bucket_reso_steps = 8;
  return config;
}

}  // namespace

TEST_CASE("buckets: sizes and choices are those of kohya's sd-scripts") {
  int64_t fits = 0;
  for (const Json& golden_case : read_json(golden("images_buckets.json"))) {
    ImageRule rule;
    rule.buckets = true;
    rule.resolution = size_of(golden_case["resolution"]);
    rule.min_side = golden_case["min"].get<int64_t>(), rule.max_side = golden_case["max"].get<int64_t>(),
    rule.step = golden_case["step"].get<int64_t>();
    const Buckets buckets(rule);
    std::vector<ImageSize> sizes;
    for (const Json& size : golden_case["sizes"]) sizes.push_back(size_of(size));
    CHECK((buckets.sizes() == sizes));
    rule.no_upscale = true;
    const Buckets own(rule);
    for (const char* key : {"fits", "no_upscale"}) {
      for (const Json& line : golden_case[key]) {
        const ImageSize picture = size_of(line[0]);
        CAPTURE(picture.width);
        CAPTURE(picture.height);
        const Fit fit = (key[0] == 'f' ? buckets : own).fit(picture);
        CHECK(fit.resized == size_of(line[1]));
        CHECK(fit.target == size_of(line[2]));
        ++fits;
      }
    }
  }
  CHECK(fits > 1000);
}

TEST_CASE("buckets: settings that leave none are refused") {
  ImageRule rule;
  rule.buckets = true;
  rule.resolution = {512, 512};
  rule.max_side = 256;
  CHECK(has(error_of([&] { Buckets{rule}; }), "max_bucket_reso is 256, expected at least the resolution 512x512"));
  rule.max_side = 1024, rule.step = 1024;
  CHECK(has(error_of([&] { Buckets{rule}; }), "bucket_reso_steps is 1024, more than the resolution"));
  rule.step = 64, rule.no_upscale = true;
  CHECK(has(error_of([&] { Buckets(rule).fit({63, 300}); }), "smaller than one step of the buckets (64)"));
  CHECK_THROWS_AS(Buckets(rule).fit({63, 300}), DataError);
}

TEST_CASE("framing: a picture covers its bucket, is cut in the middle, and its time ids say so") {
  Framing framing(small_buckets(), 16, 4);
  PairRecord single = pair_of(sized_png(40, 100), "");
  single.kind = PairRecord::Kind::single;
  const Views views = framing.views(single);
  REQUIRE(views.images.size() == 1);
  const Fit fit = Buckets(config_rule(small_buckets())).fit({100, 40});
  CHECK(views.images[0].size(1) == fit.target.height);
  CHECK(views.images[0].size(2) == fit.target.width);
  CHECK(fit.target.width * fit.target.height <= 32 * 32);
  CHECK((fit.resized.width == fit.target.width || fit.resized.height == fit.target.height));
  const std::vector<float> expected = {40,
                                       100,
                                       static_cast<float>((fit.resized.height - fit.target.height) / 2),
                                       static_cast<float>((fit.resized.width - fit.target.width) / 2),
                                       static_cast<float>(fit.target.height),
                                       static_cast<float>(fit.target.width)};
  CHECK(views.time_ids == expected);
  CHECK(views.bucket == concat(".", fit.target.height / 4, "x", fit.target.width / 4));
}

TEST_CASE("framing: a pair has the bucket of its smaller picture, whichever won") {
  Framing framing(small_buckets(), 16, 4);
  const Views a = framing.views(pair_of(sized_png(30, 60, 10), sized_png(90, 45, 200))),
              b = framing.views(pair_of(sized_png(90, 45, 200), sized_png(30, 60, 10)));
  const Fit fit = Buckets(config_rule(small_buckets())).fit({60, 30});
  for (const Views* views : {&a, &b}) {
    for (const Tensor& image : views->images) CHECK(image.sizes().vec() == std::vector<int64_t>{3, fit.target.height, fit.target.width});
  }
  CHECK(a.time_ids == b.time_ids);
  CHECK(a.time_ids[0] == 30);
  expect_equal("the same pictures", a.images[0], b.images[1]);
  expect_equal("the same pictures", a.images[1], b.images[0]);
}

TEST_CASE("framing: random crops stay inside the picture and their time ids tell where") {
  DataConfig config = small_buckets();
  config.crop = "random", config.flip = true, config.variants = 12;
  Framing framing(config, 16, 4);
  // Each column has a tone of its own, so a crop's first pixel tells where it began.
  const Tensor columns = torch::arange(160, torch::kByte).view({1, 1, 160}).expand({3, 32, 160}).contiguous();
  PairRecord single = pair_of(encode_png(columns), "");
  single.kind = PairRecord::Kind::single;
  const Fit fit = Buckets(config_rule(config)).fit({160, 32});
  REQUIRE(fit.target.width < fit.resized.width);
  const Views views = framing.views(single);
  REQUIRE(views.images.size() == 12);
  const double scale = 160.0 / static_cast<double>(fit.resized.width);
  int flipped = 0;
  for (size_t v = 0; v < 12; ++v) {
    const Tensor row = views.images[v][0][0].to(torch::kFloat);
    const bool mirrored = row[0].item<float>() > row[-1].item<float>();
    flipped += mirrored;
    const double first = row[0].item<double>(), left = views.time_ids[6 * v + 3];
    // In the flipped picture the crop begins `left` pixels from its left edge, which is the right edge of the file's picture.
    CHECK(std::abs((mirrored ? 159 - first : first) - left * scale) <= scale + 1);
  }
  CHECK(flipped == 6);  // every other one
}

TEST_CASE("framing: sizes that do not fit the autoencoder name their key") {
  DataConfig config = small_buckets();
  config.bucket_reso_steps = 6;
  CHECK(has(error_of([&] { Framing(config, 16, 4); }), "data.bucket_reso_steps is 6, expected a multiple of 4"));
  config = small_buckets();
  config.min_bucket_reso = 18;
  CHECK(has(error_of([&] { Framing(config, 16, 4); }), "data.min_bucket_reso is 18"));
}
