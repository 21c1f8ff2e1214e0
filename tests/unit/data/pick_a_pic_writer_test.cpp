#include "palate/data/pick_a_pic_writer.h"

#include <doctest/doctest.h>

#include "palate/data/pairs.h"
#include "palate/io/parquet.h"
#include "tests/support/paths.h"

using namespace palate;

TEST_CASE("Pick-a-Pic: rows have all 19 columns, and the reader takes the better picture as the winner") {
  const auto file = test::fresh_folder("pick_a_pic") / "pairs.parquet";
  PickAPicWriter writer(file);
  writer.add({"a cat", "sd15", {"first", "second"}, {"u0", "u1"}, 0});
  writer.add({"a dog", "sd15", {"third", "fourth"}, {"u2", "u3"}, 1});
  CHECK_FALSE(std::filesystem::exists(file));
  writer.commit();
  CHECK(ParquetTable::column_names(file).size() == 19);
  const ParquetTable table(file, {"best_image_uid", "label_0", "label_1", "ranking_id", "model_1", "has_label"});
  CHECK(*table.bytes("best_image_uid", 0) == "u0");
  CHECK(*table.bytes("best_image_uid", 1) == "u3");
  CHECK(*table.number("label_0", 1) == 0);
  CHECK(*table.number("label_1", 1) == 1);
  CHECK(*table.number("ranking_id", 1) == 1);
  CHECK(*table.number("has_label", 0) == 1);
  CHECK(*table.bytes("model_1", 0) == "sd15");

  DataConfig data;
  data.pairs = {file.string()};
  const auto source = open_pairs(data);
  REQUIRE(source->rows() == 2);
  PairRecord record;
  REQUIRE(source->read(1, record));
  CHECK(record.prompt == "a dog");
  CHECK(record.win == "fourth");
  CHECK(record.lose == "third");
}

TEST_CASE("Pick-a-Pic: uuids are of version 4 and depend on the numbers alone") {
  CHECK(uuid(0, 0) == "00000000-0000-4000-8000-000000000000");
  CHECK(uuid(0x0123456789abcdefULL, 0xfedcba9876543210ULL) == "01234567-89ab-4def-8edc-ba9876543210");
}
