// The cache of single pictures, of several shapes, with repeats, views and wordings.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <map>
#include <set>

#include "palate/core/error.h"
#include "palate/data/cache/pair_cache.h"
#include "palate/data/framing/framing.h"
#include "palate/io/image.h"
#include "tests/support/expect_close.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// Ten pictures, tall, wide and square, with two captions.
DataConfig shapes(const std::string& name) {
  const fs::path folder = fresh_folder(name);
  for (int i = 0; i < 10; ++i) {
    const int64_t height = i % 3 == 0 ? 64 : 40, width = i % 3 == 1 ? 64 : i % 3 == 0 ? 32 : 40;
    const Tensor picture = (torch::arange(3 * height * width) * (i + 3) % 251).to(torch::kByte).view({3, height, width});
    write_text(folder / (std::to_string(i) + ".png"), encode_png(picture));
    write_text(folder / (std::to_string(i) + ".txt"), "one, two, three, four " + std::to_string(i % 2));
  }
  DataConfig config;
  config.images = {folder.string()};
  config.resolution = 32;
  config.enable_bucket = true;
  config.min_bucket_reso = 16, config.max_bucket_reso = 64, config.bucket_reso_steps = 8;
  return config;
}

}  // namespace

TEST_CASE("single cache: every picture has the latents of its own bucket, no loser, and its time ids") {
  FakeEncoders encoders;
  encoders.xl = true;
  const DataConfig config = shapes("singles");
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("singles_cache"), 0);
  const auto rows = all_rows(cache);
  REQUIRE(rows.size() == 10);
  const auto source = open_pairs(config);
  Framing framing(config, 16, 4);
  std::set<int64_t> buckets;
  for (const int64_t row : rows) {
    PairRecord record;
    source->read(row, record);
    REQUIRE(cache.visits({row}, {0})[0].id == record.id);
    const Views views = framing.views(record);
    const Batch batch = cache.batch({row}, {0}, {.augment = false});
    CHECK(batch.views == 1);
    CHECK(batch.label.item<double>() == 1);
    expect_close("latents", batch.view(0), FakeEncoders::means(views.images[0].unsqueeze(0)) * 0.5, 1e-6);
    expect_equal("time ids", batch.condition["time_ids"][0], torch::tensor(views.time_ids));
    buckets.insert(cache.bucket(row));
  }
  CHECK(buckets.size() == 3);
}

TEST_CASE("single cache: batches are of one bucket, and others are refused") {
  FakeEncoders encoders;
  const PairCache cache = PairCache::open(encoders, shapes("mixed"), fresh_folder("mixed_cache"), 0);
  const auto rows = all_rows(cache);
  std::vector<int64_t> seen;
  for (const auto& part : cache.batches(rows, 2)) {
    CHECK(part.size() <= 2);
    const Batch batch = cache.batch(part, std::vector<uint64_t>(part.size(), 0), {});
    for (size_t i = 0; i < part.size(); ++i)
      expect_equal("alone", cache.batch({part[i]}, {0}, {}).view(0)[0], batch.view(0)[static_cast<int64_t>(i)]);
    seen.insert(seen.end(), part.begin(), part.end());
  }
  std::sort(seen.begin(), seen.end());
  CHECK(seen == rows);
  CHECK(has(error_of([&] { cache.batch({0, 1}, {0, 0}, {}); }), "rows 0 and 1 are of different buckets"));
  CHECK_THROWS_AS(cache.batch({0, 1}, {0, 0}, {}), UsageError);
}

TEST_CASE("single cache: views take turns in every bucket, each with its own crop, flip and time ids") {
  FakeEncoders encoders;
  encoders.xl = true;
  encoders.std = 1e-9;  // no posterior noise: what is left is the view
  DataConfig config = shapes("views");
  config.crop = "random", config.flip = true, config.variants = 4;
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("views_cache"), 0);
  const auto source = open_pairs(config);
  Framing framing(config, 16, 4);
  for (const int64_t row : all_rows(cache)) {
    PairRecord record;
    source->read(row, record);
    const Views views = framing.views(record);
    std::set<size_t> taken;
    for (uint64_t draw = 0; draw < 4; ++draw) {
      const Batch batch = cache.batch({row}, {draw}, {.seed = 5});
      for (size_t v = 0; v < 4; ++v) {
        const Tensor expected = FakeEncoders::means(views.images[v].unsqueeze(0)) * 0.5;
        const Tensor ids = torch::tensor(std::vector<float>(views.time_ids.begin() + 6 * static_cast<int64_t>(v),
                                                            views.time_ids.begin() + 6 * static_cast<int64_t>(v) + 6));
        if (batch.view(0).allclose(expected) && batch.condition["time_ids"][0].equal(ids)) taken.insert(v);
      }
      expect_equal("four draws later", cache.batch({row}, {draw + 4}, {.seed = 5}).view(0), batch.view(0));
    }
    CHECK(taken.size() == 4);
  }
}

TEST_CASE("single cache: kohya's flip_aug keeps both mirror images; wordings take turns; repeats are told") {
  const fs::path folder = fs::path(shapes("kohya").images[0]);
  write_text(folder / "dataset.toml", "[[datasets]]\nresolution = [32, 24]\n[[datasets.subsets]]\nimage_dir = '" + folder.string() +
                                          "'\nflip_aug = true\nshuffle_caption = true\nnum_repeats = 3\n");
  DataConfig config;
  config.images = {(folder / "dataset.toml").string()};
  config.variants = 2;
  FakeEncoders encoders;
  encoders.std = 1e-9;
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("kohya_cache"), 0);
  CHECK(cache.repeats(0) == 3);
  const auto source = open_pairs(config);
  PairRecord record;
  source->read(0, record);
  std::set<size_t> wordings;
  for (uint64_t draw = 0; draw < 16; ++draw) {
    const Batch batch = cache.batch({0}, {draw}, {}), next = cache.batch({0}, {draw + 1}, {});
    CHECK(batch.view(0).sizes().vec() == std::vector<int64_t>{1, 3, 6, 8});
    expect_close("mirrored", batch.view(0), next.view(0).flip({3}), 1e-6);
    for (size_t w = 0; w <= record.wordings.size(); ++w) {
      if (batch.condition["encoder_hidden_states"].equal(FakeEncoders::states(w == 0 ? record.prompt : record.wordings[w - 1])))
        wordings.insert(w);
    }
  }
  CHECK(wordings.size() == 8);
  CHECK(cache.batch({0}, {7}, {.augment = false}).condition["encoder_hidden_states"].equal(FakeEncoders::states(record.prompt)));
  // The caption alone decides who is held out, however many wordings it has.
  CHECK(cache.rows(Split::held_out).size() == 5);
}

TEST_CASE("single cache: its key changes with the buckets") {
  FakeEncoders encoders;
  DataConfig config = shapes("keys");
  const fs::path caches = fresh_folder("keys_singles");
  std::set<std::string> keys = {PairCache::open(encoders, config, caches, 0).key()};
  config.bucket_no_upscale = true;
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  config.bucket_reso_steps = 16;
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  config.enable_bucket = false;
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  config.num_repeats = 2;
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  CHECK(keys.size() == 5);
}

TEST_CASE("single cache: a picture too small for a bucket is named, or passed over") {
  DataConfig config = shapes("small");
  config.bucket_no_upscale = true;
  config.bucket_reso_steps = 16;
  write_text(fs::path(config.images[0]) / "tiny.png", encode_png(torch::full({3, 8, 8}, 3, torch::kByte)));
  write_text(fs::path(config.images[0]) / "tiny.txt", "tiny");
  FakeEncoders encoders;
  const std::string error = error_of([&] { PairCache::open(encoders, config, fresh_folder("small_cache"), 0); });
  CAPTURE(error);
  CHECK(has(error, "tiny.png: the picture of 8x8 pixels is smaller than one step of the buckets (16)"));
  config.skip_bad = true;
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("small_cache"), 0);
  CHECK(cache.counts().bad.size() == 1);
  CHECK(all_rows(cache).size() == 10);
}

TEST_CASE("single cache: pairs of several shapes have buckets too") {
  const fs::path folder = fresh_folder("pair_shapes");
  std::string lines;
  for (int i = 0; i < 6; ++i) {
    const int64_t wide = i % 2 ? 64 : 32;
    write_text(folder / concat("w", i, ".png"), encode_png(torch::full({3, 32, wide}, 10 + i, torch::kByte)));
    write_text(folder / concat("l", i, ".png"), encode_png(torch::full({3, 60, 60}, 200 + i, torch::kByte)));
    lines += concat("{\"prompt\": \"p", i, "\", \"chosen\": \"w", i, ".png\", \"rejected\": \"l", i, ".png\"}\n");
  }
  write_text(folder / "pairs.jsonl", lines);
  DataConfig config = shapes("pair_settings");
  config.images.clear();
  config.pairs = {(folder / "pairs.jsonl").string()};
  FakeEncoders encoders;
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("pair_buckets"), 0);
  for (int64_t row = 0; row < 6; ++row) {
    const Batch batch = cache.batch({row}, {0}, {.augment = false});
    CHECK(batch.view(0).sizes() == batch.view(1).sizes());
    CHECK((batch.view(0).size(3) > batch.view(0).size(2)) == (row % 2 == 1));
  }
}
