#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/data/pairs.h"
#include "palate/io/image.h"
#include "palate/io/parquet.h"
#include "palate/pretrain/pairs.h"
#include "palate/world/caption.h"
#include "palate/world/oracle.h"
#include "palate/world/prompts.h"
#include "tests/support/paths.h"
#include "tests/unit/pretrain/tiny_base.h"

using namespace palate;
using namespace palate::world;

namespace {

const std::filesystem::path& base_folder() {
  static const std::filesystem::path folder = pretrain(test::tiny_config(test::fresh_folder("pairs_base") / "run"), RunStart::fresh).base;
  return folder;
}

double reward(const std::string& prompt, const std::string& bytes) {
  return verdict(parse_caption(prompt), to_unit(decode_image(bytes, "test"))).reward;
}

PairOptions few() {
  PairOptions options;
  options.prompts = 30;
  options.pictures = 3;
  options.steps = 2;
  options.min_gap = 0;
  options.batch = 32;
  options.seed = 9;
  return options;
}

}  // namespace

TEST_CASE("pairs: a Pick-a-Pic parquet file that the data folder reads; winners win by the oracle when the person is exact") {
  const auto file = test::fresh_folder("pairs") / "pairs.parquet";
  Pipeline base(base_folder());
  PairOptions options = few();
  options.noise = 0;
  const Json summary = make_pairs(base, options, file);
  CHECK(summary["pairs"].get<int64_t>() + summary["skipped"].get<int64_t>() == 30);
  CHECK(ParquetTable::column_names(file).size() == 19);

  DataConfig data;
  data.pairs = {file.string()};
  const auto source = open_pairs(data);
  REQUIRE(source->rows() == summary["pairs"].get<int64_t>());
  std::set<std::string> prompts;
  double gap = 0;
  for (int64_t row = 0; row < source->rows(); ++row) {
    PairRecord record;
    REQUIRE(source->read(row, record));
    CHECK(split_of(record.prompt) == Split::train);
    prompts.insert(record.prompt);
    const double difference = reward(record.prompt, record.win) - reward(record.prompt, record.lose);
    CHECK(difference >= 0);
    gap += difference;
  }
  CHECK(static_cast<int64_t>(prompts.size()) == source->rows());
  CHECK(gap / static_cast<double>(source->rows()) == doctest::Approx(summary["mean_gap"].get<double>()).epsilon(1e-9));
}

TEST_CASE("pairs: the same seed gives the same file, whatever the batch; sides are drawn; noise makes labels wrong at times") {
  const auto folder = test::fresh_folder("pairs_seed");
  Pipeline base(base_folder());
  PairOptions options = few();
  options.noise = 5;
  const Json summary = make_pairs(base, options, folder / "a.parquet");
  make_pairs(base, options, folder / "b.parquet");
  CHECK(test::read_text(folder / "a.parquet") == test::read_text(folder / "b.parquet"));
  CHECK(summary["agreement"].get<double>() < 1);
  const ParquetTable table(folder / "a.parquet", {"label_0", "best_image_uid", "image_0_uid", "image_1_uid"});
  int first = 0;
  for (int64_t row = 0; row < table.rows(); ++row) {
    const bool first_wins = *table.number("label_0", row) == 1;
    CHECK(*table.bytes("best_image_uid", row) == *table.bytes(first_wins ? "image_0_uid" : "image_1_uid", row));
    first += first_wins;
  }
  CHECK(first > 4);
  CHECK(first < 26);
}

TEST_CASE("pairs: a person who asks for more difference than there is makes no file") {
  const auto file = test::fresh_folder("pairs_none") / "pairs.parquet";
  Pipeline base(base_folder());
  PairOptions options = few();
  options.noise = 0;
  options.min_gap = 50;
  CHECK_THROWS_AS(make_pairs(base, options, file), DataError);
  CHECK_FALSE(std::filesystem::exists(file));
}
