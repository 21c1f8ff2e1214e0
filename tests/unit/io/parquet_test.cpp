#include "palate/io/parquet.h"

#include <algorithm>
#include <set>

#include "palate/core/error.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

TEST_CASE("parquet: a file of pyarrow's, over three row groups, forwards and backwards") {
  const fs::path path = golden("io/table.parquet");
  const ParquetTable table(path, {"caption", "jpg_0", "label_0", "count", "flag", "category", "image", "large", "list"});
  const std::string png = read_text(golden("io/table_image.png"));
  CHECK(table.rows() == 10);
  for (const int64_t row : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 4, 0}) {
    INFO("row ", row);
    const auto n = static_cast<size_t>(row);
    CHECK(table.bytes("jpg_0", row) == std::string(n, static_cast<char>(row)));
    CHECK(table.bytes("caption", row) == (row == 2 ? std::nullopt : std::optional("row " + std::to_string(row) + " é")));
    CHECK(table.number("label_0", row) == (row == 5 ? std::nullopt : std::optional(static_cast<double>(row) / 2)));
    CHECK(table.number("count", row) == static_cast<double>(row));
    CHECK(table.number("flag", row) == (row % 2 == 0 ? 1.0 : 0.0));
    CHECK(table.bytes("category", row) == std::string(row % 2 ? "blue" : "red"));
    CHECK(table.bytes("large", row) == std::to_string(row));
    CHECK(table.bytes("image", row) == (row == 4 || row % 3 == 0 ? std::nullopt : std::optional(png)));  // null struct, null bytes
  }
  CHECK(has(message<FormatError>([&] { table.number("caption", 1); }), "column 'caption', row 1: expected a number, found string"));
  CHECK(has(message<FormatError>([&] { table.bytes("count", 3); }), "row 3: expected text or bytes, found int32"));
  CHECK(has(message<FormatError>([&] { table.bytes("list", 3); }), "nested"));
  CHECK_THROWS_AS(table.bytes("caption", 10), Error);
  CHECK_THROWS_AS(table.bytes("caption", -1), Error);
}

TEST_CASE("parquet: a missing column is a DataError that names those that are there") {
  const std::string text = message<DataError>([] { ParquetTable(golden("io/table.parquet"), {"captions"}); });
  CHECK(has(text, "has no column 'captions' (did you mean 'caption'?)"));
  CHECK(has(text, "jpg_0"));
  CHECK(ParquetTable::column_names(golden("io/table.parquet")).size() == 9);
  CHECK_THROWS_AS(ParquetTable("/nowhere.parquet", {}), IoError);
  CHECK_THROWS_AS(ParquetTable(golden("io/mixed.safetensors"), {}), FormatError);
}

TEST_CASE("parquet: what is written is read again, over row groups") {
  const fs::path path = fresh_folder("parquet") / "pairs.parquet";
  using Kind = ParquetWriter::Kind;
  ParquetWriter writer(
      path,
      {{"jpg_0", Kind::binary}, {"caption", Kind::text}, {"label_0", Kind::number}, {"id", Kind::integer}, {"has_label", Kind::boolean}},
      3);
  for (int row = 0; row < 7; ++row) {
    writer.text(0, std::string(static_cast<size_t>(row), '\0') + "\xff");
    writer.text(1, "a caption");
    writer.number(2, row / 4.0);
    writer.number(3, -row);
    writer.number(4, row % 2);
    writer.end_row();
  }
  CHECK_FALSE(fs::exists(path));
  writer.commit();
  const ParquetTable table(path, {"jpg_0", "caption", "label_0", "id", "has_label"});
  REQUIRE(table.rows() == 7);
  for (int row = 0; row < 7; ++row) {
    CHECK(table.bytes("jpg_0", row) == std::string(static_cast<size_t>(row), '\0') + "\xff");
    CHECK(table.bytes("caption", row) == std::string("a caption"));
    CHECK(table.number("label_0", row) == row / 4.0);
    CHECK(table.number("id", row) == -row);
    CHECK(table.number("has_label", row) == row % 2);
  }
  CHECK(ParquetTable::column_names(path) == std::vector<std::string>{"jpg_0", "caption", "label_0", "id", "has_label"});
}

TEST_CASE("parquet: wrong use of the writer is told, and an abandoned file leaves nothing") {
  const fs::path folder = fresh_folder("abandoned");
  using Kind = ParquetWriter::Kind;
  {
    ParquetWriter writer(folder / "a.parquet", {{"x", Kind::text}, {"n", Kind::integer}});
    CHECK_THROWS_AS(writer.text(0, "\xff"), DataError);
  }
  ParquetWriter writer(folder / "b.parquet", {{"x", Kind::text}, {"n", Kind::integer}});
  writer.text(0, "a");
  CHECK(has(message<Error>([&] { writer.text(0, "b"); }), "two values"));
  CHECK(has(message<Error>([&] { writer.end_row(); }), "'n' got no value"));
  CHECK(has(message<Error>([&] { writer.number(1, 0.5); }), "whole numbers"));
  writer.commit();  // no row was ended
  CHECK(ParquetTable(folder / "b.parquet", {"x"}).rows() == 0);
  CHECK_FALSE(fs::exists(folder / "a.parquet"));
}

TEST_CASE("parquet: files cut short or with flipped bytes are refused or read, never more") {
  const std::string whole = read_text(golden("io/table.parquet"));
  const fs::path path = fresh_folder("cut") / "a.parquet";
  for (size_t length = 0; length < whole.size(); length += 997) {
    write_text(path, whole.substr(0, length));
    CHECK_THROWS_AS(ParquetTable(path, {}), FormatError);
  }
}

namespace {

// Reads the first rows of every column. A column of a kind that preference data does not use is no fault of the file.
void read_all(const fs::path& path) {
  const auto names = ParquetTable::column_names(path);
  const ParquetTable table(path, names);
  for (const auto& name : names) {
    for (int64_t row = 0; row < std::min<int64_t>(table.rows(), 20); ++row) {
      for (const bool as_text : {true, false}) {
        try {
          as_text ? void(table.bytes(name, row)) : void(table.number(name, row));
        } catch (const FormatError& error) {
          if (!has(error.what(), ": expected ")) throw;
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("parquet: DuckDB's samples, sound and broken, give rows or an error that names the file") {
  const fs::path folder = golden("parquet_samples");
  std::set<std::string> refused;
  int read = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".parquet") continue;
    try {
      read_all(entry.path());
      ++read;
    } catch (const FormatError& error) {
      const std::string name = entry.path().filename().string();
      CHECK(has(error.what(), name));
      refused.insert(name);
      INFO(error.what());
    }
  }
  std::string list;
  for (const auto& name : refused) list += " " + name;
  MESSAGE(read, " samples read, refused:", list);
  CHECK(read >= 15);
  CHECK(refused.size() >= 4);
}
