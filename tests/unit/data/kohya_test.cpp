#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/data/cache/pair_cache.h"
#include "palate/data/readers/captions.h"
#include "palate/data/readers/kohya.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/image.h"
#include "tests/support/paths.h"
#include "tests/unit/data/fake_encoders.h"

#include <algorithm>

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

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
  CHECK(has(error_of([&] { open_pairs(config); }),
            "flip_aug wants more than one view of each picture, and views are cached: set data.variants = 2"));
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
  is_reg = "yes"
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
  for (const char* part :
       {":3: unknown key 'enable_buckets' in [general] (did you mean 'enable_bucket'?)",
        ":5: 'resolution': expected a side in pixels, or [width, height], found the text '512'", ":6: 'batch_size': expected a number",
        ":9: 'color_aug' is not supported here: latents are cached", ":10: 'is_reg': expected true or false, found the text 'yes'",
        ":11: 'resolution' does not belong into [[datasets.subsets]], but into [[datasets]]",
        ":12: 'num_repeats': expected a whole number of at least 1", "[[datasets.subsets]] without image_dir",
        ":16: image_dir 'birds' is no folder", "unknown key 'dataset' (did you mean 'datasets'?)"}) {
    CHECK_MESSAGE(has(error, part), part);
  }
  CHECK_THROWS_AS(read(path), ConfigError);
  CHECK(has(error_of([&] { read(dataset("nothing", "[general]\n")); }), "names no pictures"));
  CHECK(has(error_of([&] { read(dataset("no_list", "datasets = 3\n")); }), "expected [[datasets]], found the whole number 3"));
  CHECK(has(error_of([&] {
              read(dataset("two",
                           "[[datasets]]\nbatch_size = 1\nsubsets = [{image_dir = 'dogs'}]\n[[datasets]]\nbatch_size = 2\nsubsets = "
                           "[{image_dir = 'cats'}]\n"));
            }),
            "batch_size is 2, but 1 at"));
}

// sd-scripts takes regularisation pictures until they are as many as the others; when they run out, each comes once more in turn.
TEST_CASE("kohya: regularisation pictures are made as many as the others of their dataset, and weigh prior_loss_weight") {
  CHECK(prior_repeats({2, 2, 2}, 3) == std::vector<int64_t>{2, 2});
  CHECK(prior_repeats({1, 1}, 5) == std::vector<int64_t>{3, 2});
  CHECK(prior_repeats({1, 1}, 0).empty());
  CHECK(prior_repeats({}, 4).empty());

  DataConfig config;
  config.images = {
      dataset(
          "prior",
          "[[datasets]]\nsubsets = [{image_dir = 'cats', is_reg = true, class_tokens = 'cat'}, {image_dir = 'dogs', num_repeats = 3}]\n"
          "[[datasets]]\nsubsets = [{image_dir = 'dogs', is_reg = true}, {image_dir = 'cats', class_tokens = 'cat', num_repeats = 1}]\n")
          .string()};
  config.prior_loss_weight = 0.25;
  const auto source = open_pairs(config);
  REQUIRE(source->rows() == 8);
  std::vector<std::pair<int64_t, double>> found;  // repeats and weight
  for (int64_t row = 0; row < 8; ++row) {
    PairRecord record;
    CHECK(source->read(row, record));
    found.emplace_back(record.repeats, record.weight);
  }
  using Found = std::vector<std::pair<int64_t, double>>;
  CHECK(found == Found{{3, 0.25}, {3, 0.25}, {3, 1}, {3, 1}, {1, 0.25}, {1, 0.25}, {1, 1}, {1, 1}});
  const auto content = [&] { return open_pairs(config)->content([](const fs::path& path) { return path.filename().string(); }); };
  const std::string before = content();
  config.prior_loss_weight = 0.5;
  CHECK(content() != before);
  CHECK(has(error_of([&] {
              DataConfig alone;
              alone.images = {dataset("prior_alone", "[[datasets]]\nsubsets = [{image_dir = 'dogs', is_reg = true}]\n").string()};
              open_pairs(alone);
            }),
            "every subset is_reg"));
}

TEST_CASE("kohya: the weights of regularisation pictures come out of the cache, built and read again") {
  FakeEncoders encoders;
  DataConfig config;
  config.images = {
      dataset("prior_cache", "[[datasets]]\nsubsets = [{image_dir = 'cats', is_reg = true, class_tokens = 'cat'}, {image_dir = 'dogs'}]\n")
          .string()};
  config.resolution = 8;
  config.held_out = 0;
  config.prior_loss_weight = 0.25;
  const fs::path folder = fresh_folder("prior_cache_folder");
  for (int time = 0; time < 2; ++time) {
    const PairCache cache = PairCache::open(encoders, config, folder, 0);
    CHECK(cache.batch({0, 1, 2, 3}, {0, 0, 0, 0}, {}).weight.equal(torch::tensor({0.25F, 0.25F, 1.F, 1.F})));
  }
  CHECK(encoders.encoded_images == 4);
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
