#include "palate/data/cache/pixel_cache.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <atomic>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

// Pairs 0 to 4, the last two of one prompt; the winner of pair i is of value 10 i, the loser of 10 i + 5; pair 1 is a tie.
fs::path write_pixel_pairs(const std::string& name) {
  const fs::path folder = test::fresh_folder(name);
  std::string lines;
  for (int i = 0; i < 5; ++i) {
    const std::string number = std::to_string(i), prompt = "thing " + std::to_string(std::min(i, 3));
    write_png(folder / ("w" + number + ".png"), torch::full({3, 4, 6}, 10 * i, torch::kUInt8));
    write_png(folder / ("l" + number + ".png"), torch::full({3, 5, 5}, 10 * i + 5, torch::kUInt8));
    lines += R"({"prompt": ")" + prompt + R"(", "chosen": "w)" + number + R"(.png", "rejected": "l)" + number + R"(.png")" +
             (i == 1 ? R"(, "confidence": 0.5)" : "") + "}\n";
  }
  write_file(folder / "pairs.jsonl", lines);
  return folder;
}

DataConfig pixel_config(const fs::path& folder) {
  DataConfig config;
  config.pairs = {(folder / "pairs.jsonl").string()};
  config.ties = "soft";
  config.held_out = 0;
  return config;
}

// Counts the pictures that it is shown.
PixelFit counting(std::atomic<int>& shown) {
  return {.fit = [&shown](const Tensor& picture) { return ++shown, picture.slice(1, 0, 2).slice(2, 0, 2).contiguous(); },
          .identity = "corner"};
}

PixelCache open_pixel_cache(const fs::path& folder, const DataConfig& config, std::atomic<int>& shown) {
  return PixelCache::open(counting(shown), config, *open_pairs(config), folder / "cache", 1);
}

}  // namespace

TEST_CASE("pixel cache: both pictures of each pair at one size, made once") {
  const fs::path folder = write_pixel_pairs("pixel_cache");
  const DataConfig config = pixel_config(folder);
  std::atomic<int> shown = 0;
  const PixelCache cache = open_pixel_cache(folder, config, shown);
  CHECK(cache.rows(Split::train).size() == 5);
  CHECK(shown == 10);
  const PixelBatch batch = cache.batch({3, 1}, {2, 0});
  CHECK(batch.pictures.sizes() == torch::IntArrayRef({4, 3, 2, 2}));
  test::expect_equal("one value each", batch.pictures.select(1, 0).select(1, 0).select(1, 0),
                     torch::tensor({30, 10, 35, 15}, torch::kUInt8));
  test::expect_equal("labels", batch.label, torch::tensor({1.0f, 0.5f}));
  CHECK(batch.prompts == std::vector<std::string>{"thing 3", "thing 1"});
  CHECK(batch.visits[0].visit == 2);
  CHECK(open_pixel_cache(folder, config, shown).key() == cache.key());
  CHECK(shown == 10);
  DataConfig dropped = config;
  dropped.ties = "drop";
  CHECK(open_pixel_cache(folder, dropped, shown).rows(Split::train).size() == 4);
}

TEST_CASE("pixel cache: prompts are held out whole") {
  const fs::path folder = write_pixel_pairs("pixel_cache_split");
  DataConfig config = pixel_config(folder);
  config.held_out = 0.5;
  std::atomic<int> shown = 0;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const PixelCache cache = PixelCache::open(counting(shown), config, *open_pairs(config), folder / "cache", seed);
    CHECK(cache.rows(Split::train).size() + cache.rows(Split::held_out).size() == 5);
    for (const int64_t a : cache.rows(Split::train)) {
      for (const int64_t b : cache.rows(Split::held_out)) CHECK(cache.row(a).prompt != cache.row(b).prompt);
    }
  }
  CHECK(shown == 10);  // one cache for all splits
}

TEST_CASE("pixel cache: a missing or a broken picture is said with its row, and passed over where that is asked for") {
  const fs::path folder = write_pixel_pairs("pixel_cache_bad");
  DataConfig config = pixel_config(folder);
  fs::remove(folder / "l2.png");
  write_file(folder / "w4.png", "no picture");
  std::atomic<int> shown = 0;
  CHECK_THROWS_WITH_AS(open_pixel_cache(folder, config, shown), doctest::Contains("pairs.jsonl line 3"), DataError);
  config.skip_bad = true;
  CHECK(open_pixel_cache(folder, config, shown).rows(Split::train).size() == 3);
  config.skip_bad = false;
  CHECK_THROWS_WITH_AS(open_pixel_cache(folder, config, shown), doctest::Contains("pairs.jsonl line 3"), DataError);
}
