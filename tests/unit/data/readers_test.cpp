#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/data/pairs.h"
#include "palate/io/image.h"
#include "palate/io/parquet.h"
#include "tests/support/paths.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

DataConfig config_of(const fs::path& path, const std::string& ties = "drop") {
  DataConfig config;
  config.pairs = {path.string()};
  config.ties = ties;
  return config;
}

// One row of a Pick-a-Pic file with any label.
void write_parquet(const fs::path& path, const std::vector<double>& labels, const std::string& caption = "a cat") {
  using Kind = ParquetWriter::Kind;
  // Captions as binary, so that one can be written that is not UTF-8: files of other writers may hold any bytes.
  ParquetWriter writer(path, {{"caption", Kind::binary}, {"jpg_0", Kind::binary}, {"jpg_1", Kind::binary}, {"label_0", Kind::number}});
  for (size_t i = 0; i < labels.size(); ++i) {
    writer.text(0, caption);
    writer.text(1, png(static_cast<uint8_t>(i)));
    writer.text(2, png(static_cast<uint8_t>(100 + i)));
    writer.number(3, labels[i]);
    writer.end_row();
  }
  writer.commit();
}

}  // namespace

TEST_CASE("pick-a-pic: label_0 names the winner, ties and rows without a label give no pair") {
  const auto source = open_pairs(config_of(golden("data_pickapic.parquet")));
  REQUIRE(source->rows() == 12);
  PairRecord record;
  CHECK(source->read(0, record));  // label_0 = 1
  CHECK(record.win_name == "jpg_0");
  CHECK(record.prompt == "prompt 0: naïve 東京 🎨");
  CHECK(record.preference == 1);
  CHECK(has(record.origin, "data_pickapic.parquet row 0"));
  CHECK(decode_image(record.win, "").size(2) == 20);  // jpg_0 of row i is 20 + 4 i wide, jpg_1 is 24 wide
  CHECK(decode_image(record.lose, "").size(2) == 24);
  CHECK(source->read(4, record));  // label_0 = 0
  CHECK(record.win_name == "jpg_1");
  CHECK(decode_image(record.win, "").size(2) == 24);
  CHECK_FALSE(source->read(3, record));
  CHECK(record.kind == PairRecord::Kind::tie);
  CHECK_FALSE(source->read(10, record));
  CHECK(record.kind == PairRecord::Kind::unlabelled);
}

TEST_CASE("pick-a-pic: a kept tie has the soft label 0.5 and keeps the order of its images") {
  const auto source = open_pairs(config_of(golden("data_pickapic.parquet"), "soft"));
  PairRecord record;
  CHECK(source->read(3, record));
  CHECK(record.preference == 0.5);
  CHECK(record.win_name == "jpg_0");
  CHECK(decode_image(record.win, "").size(2) == 32);
}

TEST_CASE("pick-a-pic: Image structs read as plain binary does") {
  const auto plain = open_pairs(config_of(golden("data_pickapic.parquet"))), nested = open_pairs(config_of(golden("data_struct.parquet")));
  for (int64_t row = 0; row < 2; ++row) {
    PairRecord a, b;
    CHECK(plain->read(row, a));
    CHECK(nested->read(row, b));
    CHECK(a.id == b.id);
    CHECK(a.win == b.win);
    CHECK(a.lose == b.lose);
  }
}

TEST_CASE("pick-a-pic: a label that is none names its row") {
  const fs::path folder = fresh_folder("labels");
  write_parquet(folder / "odd.parquet", {1, 0, 0.7});
  const auto source = open_pairs(config_of(folder));
  PairRecord record;
  CHECK(source->read(1, record));
  const std::string error = error_of([&] { source->read(2, record); });
  CHECK(has(error, "odd.parquet row 2"));
  CHECK(has(error, "0.7"));
  CHECK_THROWS_AS(source->read(2, record), DataError);
}

TEST_CASE("prompts: empty ones and broken UTF-8 are refused by row") {
  const fs::path folder = fresh_folder("prompts");
  write_parquet(folder / "a.parquet", {1}, "");
  write_parquet(folder / "b.parquet", {1}, "caf\xE9");
  const auto source = open_pairs(config_of(folder));
  PairRecord record;
  CHECK(has(error_of([&] { source->read(0, record); }), "a.parquet row 0: the prompt is empty"));
  CHECK(has(error_of([&] { source->read(1, record); }), "b.parquet row 0: the prompt is not valid UTF-8"));
}

TEST_CASE("jsonl: paths count from the file's folder, confidence is the preference") {
  const fs::path folder = fresh_folder("jsonl");
  fs::create_directories(folder / "lists");
  write_text(folder / "images/a.png", png(1));
  write_text(folder / "images/b.png", png(2));
  write_text(
      folder / "lists/pairs.jsonl",
      "\xEF\xBB\xBF{\"prompt\": \"a dog\", \"chosen\": \"../images/a.png\", \"rejected\": \"../images/b.png\"}\r\n\n"
      "{\"prompt\": \"a dog\", \"chosen\": \"../images/b.png\", \"rejected\": \"../images/a.png\", \"confidence\": 0.8, \"note\": 1}\n"
      "{\"prompt\": \"a dog\", \"chosen\": \"../images/b.png\", \"rejected\": \"../images/a.png\", \"confidence\": 0.5}");
  const auto source = open_pairs(config_of(folder / "lists/pairs.jsonl"));
  REQUIRE(source->rows() == 3);
  PairRecord first, second, tie;
  CHECK(source->read(0, first));
  CHECK(source->read(1, second));
  CHECK(first.win == png(1));
  CHECK(first.preference == 1);
  CHECK(second.preference == 0.8);
  CHECK(second.win == png(2));
  CHECK(first.id != second.id);  // the same pictures, the other way round: another opinion
  CHECK(has(second.origin, "pairs.jsonl line 3"));
  CHECK_FALSE(source->read(2, tie));
  CHECK(tie.kind == PairRecord::Kind::tie);
}

TEST_CASE("jsonl: each mistake names its line") {
  const fs::path folder = fresh_folder("jsonl_bad");
  write_text(folder / "a.png", png(1));
  write_text(folder / "pairs.jsonl",
             "{\"prompt\": \"x\", \"chosen\": \"a.png\", \"rejected\": \"gone.png\"}\n"
             "{\"prompt\": \"x\", \"chosen\": \"a.png\"\n"
             "{\"prompt\": \"x\", \"chosen\": \"a.png\"}\n"
             "{\"prompt\": 7, \"chosen\": \"a.png\", \"rejected\": \"a.png\"}\n"
             "{\"prompt\": \"x\", \"chosen\": \"a.png\", \"rejected\": \"a.png\", \"confidence\": 0.2}\n"
             "[1, 2]\n");
  const auto source = open_pairs(config_of(folder));
  const std::vector<std::string> expected = {"gone.png",           "line 2", "'rejected' is missing",
                                             "'prompt' is number", "0.2",    "expected an object"};
  for (size_t row = 0; row < expected.size(); ++row) {
    PairRecord record;
    const std::string error = error_of([&] { source->read(static_cast<int64_t>(row), record); });
    CAPTURE(error);
    CHECK(has(error, "pairs.jsonl line " + std::to_string(row + 1)));
    CHECK(has(error, expected[row]));
  }
}

TEST_CASE("ids: the same pair has the same id in any file, and its prompt and both images matter") {
  const fs::path folder = fresh_folder("ids");
  write_parquet(folder / "pairs.parquet", {1, 0});
  write_text(folder / "0.png", png(0));
  write_text(folder / "100.png", png(100));
  write_text(folder / "pairs.jsonl",
             "{\"prompt\": \"a cat\", \"chosen\": \"0.png\", \"rejected\": \"100.png\"}\n"
             "{\"prompt\": \"a dog\", \"chosen\": \"0.png\", \"rejected\": \"100.png\"}\n");
  const auto source = open_pairs(config_of(folder));  // .jsonl sorts before .parquet
  REQUIRE(source->rows() == 4);
  uint64_t ids[4];
  for (int64_t row = 0; row < 4; ++row) {
    PairRecord record;
    CHECK(source->read(row, record));
    ids[row] = record.id;
  }
  CHECK(ids[0] == ids[2]);
  CHECK(ids[0] != ids[1]);
  CHECK(ids[0] != ids[3]);
}

TEST_CASE("files: what is missing, unknown or not there is said") {
  const fs::path folder = fresh_folder("files");
  fs::create_directories(folder / "images");
  write_text(folder / "notes.txt", "x");
  const std::string error = error_of([&] { open_pairs(config_of(folder)); });
  CHECK(has(error, "no .parquet and no .jsonl file"));
  CHECK(has(error, "2 entries: images/, notes.txt"));
  CHECK(has(error_of([&] { open_pairs(config_of(folder / "gone.parquet")); }), "gone.parquet' does not exist"));
  CHECK(has(error_of([&] { open_pairs(config_of(folder / "notes.txt")); }), "neither a .parquet file"));
  CHECK_THROWS_AS(open_pairs(DataConfig()), UsageError);
  CHECK_THROWS_AS(open_pairs(config_of(folder)), UsageError);
}

TEST_CASE("files: rows of several files follow one another, and can be read in any order") {
  const fs::path folder = fresh_folder("chain");
  write_parquet(folder / "b.parquet", {1, 1, 1});
  write_parquet(folder / "a.parquet", {0, 0});
  const auto source = open_pairs(config_of(folder));
  REQUIRE(source->rows() == 5);
  for (const int64_t row : {4, 0, 2, 1}) {
    PairRecord record;
    CHECK(source->read(row, record));
    CHECK(has(record.origin, row < 2 ? "a.parquet" : "b.parquet"));
    CHECK(record.win_name == (row < 2 ? "jpg_1" : "jpg_0"));
  }
}
