#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <set>

#include "palate/core/error.h"
#include "palate/data/cache/pair_cache.h"
#include "palate/data/framing/transform.h"
#include "palate/io/image.h"
#include "tests/support/expect_close.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// One pair of flat images, written as JSONL.
DataConfig one_pair(const fs::path& folder, uint8_t tone = 10) {
  write_text(folder / "a.png", encode_png(torch::full({3, 16, 16}, tone, torch::kByte)));
  write_text(folder / "b.png", encode_png(torch::full({3, 16, 16}, 200, torch::kByte)));
  write_text(folder / "pairs.jsonl", "{\"prompt\": \"x\", \"chosen\": \"a.png\", \"rejected\": \"b.png\"}\n");
  DataConfig config;
  config.pairs = {(folder / "pairs.jsonl").string()};
  return config;
}

}  // namespace

TEST_CASE("cache: an unreadable row is named; with skip_bad it is passed over and counted") {
  const fs::path folder = fresh_folder("bad");
  FakeEncoders encoders;
  DataConfig config = golden_config();
  config.skip_bad = false;
  const std::string error = error_of([&] { PairCache::open(encoders, config, folder, 0); });
  CAPTURE(error);
  CHECK(has(error, "data_pickapic.parquet row 7: jpg_1"));
  CHECK(has(error, "data.skip_bad"));
  config.skip_bad = true;
  const PairCache cache = PairCache::open(encoders, config, folder, 0);
  CHECK(all_rows(cache).size() == 8);  // 12 rows, 2 ties, 1 without a label, 1 unreadable
  CHECK(cache.counts().bad.size() == 1);
  CHECK(cache.counts().ties == 2);
  CHECK(cache.counts().unlabelled == 1);
  config.skip_bad = false;  // the complete cache does not hide what it passed over
  CHECK(has(error_of([&] { PairCache::open(encoders, config, folder, 0); }), "row 7: jpg_1"));
}

TEST_CASE("cache: holds the latents and text states that the encoders give, and is read without them") {
  const fs::path folder = fresh_folder("values");
  FakeEncoders encoders;
  const DataConfig config = golden_config();
  const std::string key = PairCache::open(encoders, config, folder, 0).key();
  CHECK(encoders.encoded_images == 16);
  CHECK(encoders.encoded_prompts == 7);  // the empty prompt and 6 distinct ones of 8 pairs, each once
  const PairCache cache = PairCache::open(encoders, config, folder, 0);
  CHECK(cache.key() == key);
  CHECK(encoders.encoded_images == 16);
  const auto source = open_pairs(config);
  PairRecord record;
  source->read(4, record);  // row 4 is the cache's fourth pair: row 3 is a tie
  CHECK(cache.visits({3}, {0})[0].id == record.id);
  CHECK(cache.prompt(3) == record.prompt);
  const Batch batch = cache.batch({3}, {9}, {.augment = false});
  const auto expected = [](const std::string& bytes) {
    return FakeEncoders::means(crop_square(decode_image(bytes, ""), 16, {}).unsqueeze(0)) * 0.5;
  };
  expect_close("winner", batch.view(0), expected(record.win), 1e-6);
  expect_close("loser", batch.view(1), expected(record.lose), 1e-6);
  expect_equal("text", batch.condition["encoder_hidden_states"], FakeEncoders::states(record.prompt));
  CHECK(batch.label.item<double>() == 1);
  CHECK(batch.visits[0].id == record.id);
}

TEST_CASE("cache: a batch's split changes no bit, and a draw depends on seed, pair and draw number alone") {
  FakeEncoders encoders;
  DataConfig config = golden_config();
  config.flip = true;
  config.variants = 3;
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("draws"), 0);
  const PairCache::Options options{.seed = 5, .caption_dropout = 0.4};
  const std::vector<int64_t> rows = {6, 0, 3, 7, 3};
  const std::vector<uint64_t> draws = {2, 0, 1, 9, 4};
  const Batch whole = cache.batch(rows, draws, options);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Batch one = cache.batch({rows[i]}, {draws[i]}, options);
    const auto at = static_cast<int64_t>(i);
    expect_equal("winner", one.view(0)[0], whole.view(0)[at]);
    expect_equal("loser", one.view(1)[0], whole.view(1)[at]);
    expect_equal("text", one.condition["encoder_hidden_states"][0], whole.condition["encoder_hidden_states"][at]);
  }
  CHECK_FALSE(whole.view(0)[2].equal(whole.view(0)[4]));  // one row, two draws
  CHECK_FALSE(cache.batch({6}, {2}, {.seed = 6}).view(0).equal(whole.view(0).slice(0, 0, 1)));
}

TEST_CASE("cache: posterior noise has the encoder's standard deviation and differs between winner and loser") {
  FakeEncoders encoders;
  const PairCache cache = PairCache::open(encoders, golden_config(), fresh_folder("posterior"), 0);
  const Batch mean = cache.batch({0}, {0}, {.augment = false});
  double sum = 0, squares = 0, product = 0;
  const int count = 300;
  for (int draw = 0; draw < count; ++draw) {
    const Batch batch = cache.batch({0}, {static_cast<uint64_t>(draw)}, {.seed = 1});
    const Tensor win = (batch.view(0) - mean.view(0)) / (0.5 * 0.1), lose = (batch.view(1) - mean.view(1)) / (0.5 * 0.1);
    sum += win.sum().item<double>(), squares += win.square().sum().item<double>(), product += (win * lose).sum().item<double>();
  }
  const double n = count * 48;  // 14400 normals: standard errors .0083, .0118, .0083; the bounds are five of them
  CHECK(std::abs(sum / n) < 0.042);
  CHECK(std::abs(squares / n - 1) < 0.059);
  CHECK(std::abs(product / n) < 0.042);
}

TEST_CASE("cache: captions are dropped at the asked rate, and only then") {
  FakeEncoders encoders;
  const PairCache cache = PairCache::open(encoders, golden_config(), fresh_folder("captions"), 0);
  const Tensor empty = FakeEncoders::states("");
  int dropped = 0;
  for (uint64_t draw = 0; draw < 1000; ++draw) {
    dropped += cache.batch({1}, {draw}, {.seed = 2, .caption_dropout = 0.3}).condition["encoder_hidden_states"].equal(empty);
    if (draw < 50) CHECK_FALSE(cache.batch({1}, {draw}, {.seed = 2}).condition["encoder_hidden_states"].equal(empty));
  }
  CHECK(std::abs(dropped - 300) < 73);  // five standard deviations of a binomial
}

TEST_CASE("cache: a kept tie has preference 0.5; variants take turns") {
  FakeEncoders encoders;
  encoders.std = 1e-9;  // no posterior noise: what is left is the crop
  DataConfig config = golden_config();
  config.ties = "soft";
  config.crop = "random";
  config.variants = 4;
  const PairCache cache = PairCache::open(encoders, config, fresh_folder("soft"), 0);
  CHECK(all_rows(cache).size() == 10);
  CHECK(cache.counts().ties == 0);
  CHECK(cache.batch({3}, {0}, {}).label.item<double>() == 0.5);
  const auto source = open_pairs(config);
  PairRecord record;
  source->read(0, record);
  std::set<int64_t> taken;
  for (uint64_t draw = 0; draw < 4; ++draw) {
    const Batch batch = cache.batch({0}, {draw}, {});
    for (int64_t variant = 0; variant < 4; ++variant) {
      const auto latents = [&](const std::string& bytes) {
        return FakeEncoders::means(crop_square(decode_image(bytes, ""), 16, crop_place(record.id, variant, "random", false)).unsqueeze(0)) *
               0.5;
      };
      // Both images must be of the same variant.
      if (batch.view(0).allclose(latents(record.win)) && batch.view(1).allclose(latents(record.lose))) taken.insert(variant);
    }
    expect_equal("four draws later", cache.batch({0}, {draw + 4}, {}).view(0), batch.view(0));
  }
  CHECK(taken.size() == 4);
}

TEST_CASE("cache: a file given twice gives each pair once; max_pairs takes the first") {
  FakeEncoders encoders;
  DataConfig config = golden_config();
  const fs::path folder = fresh_folder("twice");
  const PairCache once = PairCache::open(encoders, config, folder, 0);
  config.pairs.push_back(config.pairs[0]);
  const PairCache twice = PairCache::open(encoders, config, folder, 0);
  CHECK(all_rows(twice).size() == 8);
  CHECK(twice.counts().duplicates == 8);
  CHECK(twice.key() != once.key());
  config.max_pairs = 3;
  const PairCache few = PairCache::open(encoders, config, folder, 0);
  REQUIRE(all_rows(few).size() == 3);
  for (int64_t row = 0; row < 3; ++row) CHECK(few.visits({row}, {0})[0].id == once.visits({row}, {0})[0].id);
}

TEST_CASE("cache: the split is by prompt, and another seed shares the cache") {
  FakeEncoders encoders;
  DataConfig config = golden_config();
  config.held_out = 0.3;
  const fs::path folder = fresh_folder("split");
  std::set<std::vector<int64_t>> splits;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const PairCache cache = PairCache::open(encoders, config, folder, seed);
    std::set<std::string> train, held;
    for (const int64_t row : cache.rows(Split::train)) train.insert(cache.prompt(row));
    for (const int64_t row : cache.rows(Split::held_out)) held.insert(cache.prompt(row));
    CHECK_FALSE(train.empty());
    CHECK_FALSE(held.empty());
    for (const auto& prompt : held) CHECK_FALSE(train.contains(prompt));
    splits.insert(cache.rows(Split::held_out));
  }
  CHECK(splits.size() > 1);
  CHECK(encoders.encoded_images == 16);
}

TEST_CASE("cache: its key changes with a picture's bytes, the encoders and the transform") {
  FakeEncoders encoders;
  const fs::path folder = fresh_folder("keys"), caches = fresh_folder("keys_cache");
  DataConfig config = one_pair(folder);
  std::set<std::string> keys = {PairCache::open(encoders, config, caches, 0).key()};
  config.held_out = 0.5, config.caption_dropout = 0.1;  // of the run, not of the cache
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  CHECK(keys.size() == 1);
  config.flip = true;
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  config.resolution = 8;
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  encoders.name = "another";
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  one_pair(folder, 11);
  keys.insert(PairCache::open(encoders, config, caches, 0).key());
  CHECK(keys.size() == 5);
}

TEST_CASE("cache: what cannot be is said in one sentence") {
  FakeEncoders encoders;
  const fs::path folder = fresh_folder("errors"), caches = fresh_folder("errors_cache");
  DataConfig config = one_pair(folder);
  config.resolution = 10;
  CHECK(has(error_of([&] { PairCache::open(encoders, config, caches, 0); }), "data.resolution is 10, expected a multiple of 4"));
  config.resolution = 0;
  encoders.broken = true;
  CHECK(has(error_of([&] { PairCache::open(encoders, config, caches, 0); }), "line 1: the autoencoder gave values that are not finite"));
  encoders.broken = false;
  const std::string key = PairCache::open(encoders, config, caches, 0).key();
  const fs::path shard = caches / key / "pairs-00000.safetensors";
  fs::resize_file(shard, fs::file_size(shard) - 8);
  const std::string error = error_of([&] { PairCache::open(encoders, config, caches, 0); });
  CHECK(has(error, "pairs-00000.safetensors: expected"));
  CHECK(has(error, "it is built again"));
  write_text(folder / "ties.jsonl", "{\"prompt\": \"x\", \"chosen\": \"a.png\", \"rejected\": \"b.png\", \"confidence\": 0.5}\n");
  config.pairs = {(folder / "ties.jsonl").string()};
  CHECK(has(error_of([&] { PairCache::open(encoders, config, caches, 0); }), "no pair can be used: 1 rows read, of them 1 dropped ties"));
}

TEST_CASE("cache: a pair's time ids follow its variant, and are kept only for models that take them") {
  const fs::path folder = fresh_folder("time_ids");
  write_text(folder / "a.png", encode_png(torch::full({3, 16, 64}, 10, torch::kByte)));
  write_text(folder / "b.png", encode_png(torch::full({3, 64, 64}, 200, torch::kByte)));
  write_text(folder / "pairs.jsonl", "{\"prompt\": \"x\", \"chosen\": \"b.png\", \"rejected\": \"a.png\"}\n");
  DataConfig config;
  config.pairs = {(folder / "pairs.jsonl").string()};
  config.crop = "random";
  config.variants = 4;
  FakeEncoders encoders;
  const PairCache without = PairCache::open(encoders, config, folder / "sd", 0);
  CHECK_FALSE(without.batch({0}, {0}, {}).condition["time_ids"].defined());
  encoders.xl = true;
  const PairCache cache = PairCache::open(encoders, config, folder / "xl", 0);
  std::set<int64_t> lefts;
  for (uint64_t draw = 0; draw < 4; ++draw) {
    const Tensor ids = cache.batch({0}, {draw}, {}).condition["time_ids"];
    REQUIRE(ids.sizes() == std::vector<int64_t>{1, 6});
    const auto at = [&](int64_t i) { return ids[0][i].item<int64_t>(); };
    CHECK(at(0) == 16);  // a.png, the smaller one, though it lost
    CHECK(at(1) == 64);
    CHECK(at(4) == 16);
    lefts.insert(at(3));
  }
  // The four variants take turns, so four draws show each variant's crop.
  std::set<int64_t> expected;
  for (int64_t v = 0; v < 4; ++v)
    expected.insert(crop_box(16, 64, 16, crop_place(cache.visits({0}, {0})[0].id, v, "random", config.flip)).left);
  CHECK(lefts == expected);
  CHECK(expected.size() > 1);
}
