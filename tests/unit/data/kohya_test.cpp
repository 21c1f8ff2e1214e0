#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/data/captions.h"
#include "palate/data/kohya.h"
#include "palate/data/pair_files.h"
#include "palate/io/image.h"
#include "tests/support/paths.h"
#include "tests/unit/data/fake_encoders.h"

#include <algorithm>

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

std::string png(uint8_t tone) { return encode_png(torch::full({3, 8, 8}, tone, torch::kByte)); }

// A folder with pictures in dogs/ and cats/, and dataset.toml.
fs::path dataset(const std::string& name, const std::string& text) {
  const fs::path folder = fresh_folder(name);
  for (const char* place : {"dogs/a", "dogs/b", "cats/c"}) {
    write_text(folder / (std::string(place) + ".png"), png(static_cast<uint8_t>(place[5])));
    write_text(folder / (std::string(place) + ".txt"), std::string("tag one, two, three, ") + place);
  }
  write_text(folder / "cats/bare.png", png(77));
  write_text(folder / "dataset.toml", text);
  return folder / "dataset.toml";
}

KohyaFile read(const fs::path& path, const DataConfig& config = {}) { return read_kohya(path, config); }

constexpr const char* good = R"(
[general]
enable_bucket = true
caption_extension = ".txt"
shuffle_caption = true
keep_tokens = 1
flip_aug = true

[[datasets]]
resolution = [768, 512]
batch_size = 4
min_bucket_reso = 320

  [[datasets.subsets]]
  image_dir = "dogs"
  num_repeats = 5
  flip_aug = false

  [[datasets.subsets]]
  image_dir = "cats"
  class_tokens = "sks cat"
  caption_prefix = "photo of"
  shuffle_caption = false
  is_reg = false

[[datasets]]
resolution = 1024
enable_bucket = false
batch_size = 4
  [[datasets.subsets]]
  image_dir = "dogs"
  caption_dropout_rate = 0.1
)";

}  // namespace

TEST_CASE("kohya: the lower level wins, and what no level says is the config's") {
  DataConfig config;
  config.max_bucket_reso = 1536;
  const KohyaFile file = read(dataset("levels", good), config);
  REQUIRE(file.subsets.size() == 3);
  const KohyaSubset &dogs = file.subsets[0], &cats = file.subsets[1], &large = file.subsets[2];
  CHECK(dogs.rule.resolution == ImageSize{768, 512});
  CHECK(dogs.rule.buckets);
  CHECK(dogs.rule.min_side == 320);
  CHECK(dogs.rule.max_side == 1536);
  CHECK(dogs.rule.step == 64);
  CHECK_FALSE(dogs.rule.flip);
  CHECK(cats.rule.flip);
  CHECK(dogs.num_repeats == 5);
  CHECK(cats.num_repeats == 1);
  CHECK(dogs.shuffle_caption);
  CHECK_FALSE(cats.shuffle_caption);
  CHECK(cats.class_tokens == "sks cat");
  CHECK(large.rule.resolution == ImageSize{1024, 1024});
  CHECK_FALSE(large.rule.buckets);
  CHECK(large.rule.min_side == 256);
  REQUIRE(file.batch_size.has_value());
  CHECK(file.batch_size->value == 4);
  CHECK(file.caption_dropout_rate->value == 0.1);
}

TEST_CASE("kohya: its pictures as records") {
  DataConfig config;
  config.images = {dataset("records", good).string()};
  config.caption_dropout = 0.1;
  CHECK(has(error_of([&] { open_pairs(config); }), "flip_aug wants more than one view of each picture, and views are cached: set data.variants = 2"));
  config.variants = 2;
  const auto source = open_pairs(config);
  REQUIRE(source->rows() == 6);
  PairRecord dog, bare, cat;
  CHECK(source->read(0, dog));
  CHECK(source->read(2, bare));
  CHECK(source->read(3, cat));
  CHECK(dog.repeats == 5);
  CHECK(dog.prompt == "tag one, two, three, dogs/a");
  REQUIRE(dog.wordings.size() == 7);
  for (const std::string& wording : dog.wordings) CHECK(wording.starts_with("tag one, "));
  CHECK(bare.prompt == "photo of sks cat");
  CHECK(cat.prompt == "photo of tag one, two, three, cats/c");
  CHECK(cat.wordings.empty());
  REQUIRE(dog.rule != nullptr);
  CHECK(dog.rule->resolution == ImageSize{768, 512});
  CHECK(largest_side(config) == 1024);
  check_batch_size(config, 4);
  CHECK(has(error_of([&] { check_batch_size(config, 1); }), ": batch_size is 4, but the run's is 1: set train.batch = 4"));
  config.caption_dropout = 0;
  CHECK(has(error_of([&] { open_pairs(config); }), "set data.caption_dropout = 0.1"));
}

TEST_CASE("kohya: mistakes are said all at once, with line and nearest name; what cannot be, with its reason") {
  const std::string text = R"(
[general]
enable_buckets = true
[[datasets]]
resolution = "512"
batch_size = "two"
  [[datasets.subsets]]
  image_dir = "dogs"
  color_aug = true
  is_reg = true
  resolution = 512
  num_repeats = 0
  [[datasets.subsets]]
  class_tokens = "x"
  [[datasets.subsets]]
  image_dir = "birds"
[dataset]
)";
  const fs::path path = dataset("mistakes", text);
  const std::string error = error_of([&] { read(path); });
  CAPTURE(error);
  for (const char* part : {":3: unknown key 'enable_buckets' in [general], did you mean 'enable_bucket'?", ":5: 'resolution': expected a side in pixels, or [width, height], found the text '512'",
                           ":6: 'batch_size': expected a number", ":9: 'color_aug' is not supported here: latents are cached", ":10: 'is_reg' is not supported here: there is no prior-preservation",
                           ":11: 'resolution' does not belong into [[datasets.subsets]], but into [[datasets]]", ":12: 'num_repeats': expected a whole number of at least 1",
                           "[[datasets.subsets]] without image_dir", ":16: image_dir 'birds' is no folder", "unknown key 'dataset', did you mean 'datasets'?"}) {
    CHECK_MESSAGE(has(error, part), part);
  }
  CHECK_THROWS_AS(read(path), ConfigError);
  CHECK(has(error_of([&] { read(dataset("nothing", "[general]\n")); }), "names no pictures"));
  CHECK(has(error_of([&] { read(dataset("no_list", "datasets = 3\n")); }), "expected [[datasets]], found the whole number 3"));
  CHECK(has(error_of([&] { read(dataset("two", "[[datasets]]\nbatch_size = 1\nsubsets = [{image_dir = 'dogs'}]\n[[datasets]]\nbatch_size = 2\nsubsets = [{image_dir = 'cats'}]\n")); }),
            "batch_size is 2, but 1 at"));
}

TEST_CASE("captions: other orders keep the first tags, hold the same tags and are the same in every run") {
  const auto orders = shuffled_captions("a, b ,c,d, e", ",", 2, 6);
  REQUIRE(orders.size() == 6);
  bool different = false;
  for (const std::string& order : orders) {
    CHECK(order.starts_with("a, b, "));
    CHECK(order.size() == std::string("a, b, c, d, e").size());
    std::string letters = order;
    std::sort(letters.begin(), letters.end());
    CHECK(letters.substr(letters.find('a')) == "abcde");
    different = different || order != orders[0];
  }
  CHECK(different);
  CHECK(shuffled_captions("a, b ,c,d, e", ",", 2, 6) == orders);
  CHECK(shuffled_captions("a, b", ",", 1, 6).empty());
}
