// data.images: folders, shards and parquet as they are read.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/image.h"
#include "palate/io/parquet.h"
#include "tests/support/paths.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

DataConfig images_of(const fs::path& path) {
  DataConfig config;
  config.images = {path.string()};
  return config;
}

std::vector<PairRecord> read_all(const DataConfig& config) {
  const auto source = open_pairs(config);
  std::vector<PairRecord> records;
  for (int64_t row = 0; row < source->rows(); ++row) {
    records.emplace_back();
    CHECK(source->read(row, records.back()));
    CHECK(records.back().kind == PairRecord::Kind::single);
    CHECK(records.back().lose.empty());
  }
  return records;
}

std::string content(const DataConfig& config) {
  return open_pairs(config)->content([](const fs::path& path) { return read_text(path); });
}

}  // namespace

TEST_CASE("folder: pictures of all kinds, in subfolders too, with .txt or .caption beside them") {
  const fs::path folder = fresh_folder("folder");
  write_text(folder / "b.png", png(1));
  write_text(folder / "b.txt", "\xEF\xBB\xBF  a cat \r\nsecond line");
  write_text(folder / "a.JPG", png(2));  // by suffix here, by content when it is decoded
  write_text(folder / "a.caption", "a dog");
  write_text(folder / "deep/er/c.webp", png(3));
  write_text(folder / "deep/er/c.txt", "same");
  write_text(folder / "deep/er/c.caption", "same");
  write_text(folder / ".hidden.png", png(4));
  write_text(folder / ".cache/d.png", png(4));
  write_text(folder / "notes.md", "x");
  const auto records = read_all(images_of(folder));
  REQUIRE(records.size() == 3);
  CHECK(records[0].prompt == "a dog");
  CHECK(records[1].prompt == "a cat");
  CHECK(records[2].prompt == "same");
  CHECK(records[1].win == png(1));
  CHECK(has(records[2].origin, "deep/er/c.webp"));
  CHECK(records[0].repeats == 1);
}

TEST_CASE("folder: what is missing or contradicts itself names a picture and how many there are") {
  const fs::path folder = fresh_folder("folder_bad");
  for (const char* name : {"a.png", "b.png", "c.png"}) write_text(folder / name, png(1));
  write_text(folder / "a.txt", "x");
  std::string error = error_of([&] { open_pairs(images_of(folder)); });
  CAPTURE(error);
  CHECK(has(error, "b.png: has no caption, as 2 of 3 pictures"));
  CHECK(has(error, "data.caption"));
  DataConfig config = images_of(folder);
  config.caption = "a photo of sks dog";  // of those that bring none
  const auto records = read_all(config);
  CHECK(records[0].prompt == "x");
  CHECK(records[1].prompt == "a photo of sks dog");
  write_text(folder / "a.caption", "y");
  CHECK(has(error_of([&] { open_pairs(config); }), "a.txt and a.caption differ"));
  config.caption_extension = ".caption";
  CHECK(read_all(config)[0].prompt == "y");
  write_text(folder / "a.caption", " \n y");
  PairRecord first;
  CHECK(has(error_of([&] { open_pairs(config)->read(0, first); }), "a.png: the caption in a.caption is empty"));
  CHECK(has(error_of([&] { open_pairs(images_of(fresh_folder("empty"))); }), "holds no picture"));
  CHECK(has(error_of([&] { open_pairs(images_of(folder / "gone")); }), "does not exist"));
  CHECK(has(error_of([&] { open_pairs(images_of(folder / "a.png")); }), "name the folder that it is in"));
  DataConfig pairs;
  pairs.pairs = {folder.string()};
  CHECK(has(error_of([&] { open_pairs(pairs); }), "pictures with captions are named by data.images"));
}

TEST_CASE("folder: metadata.jsonl and metadata.csv name captions of pictures below them") {
  const fs::path folder = fresh_folder("metadata");
  write_text(folder / "train/a.png", png(1));
  write_text(folder / "train/deep/b.png", png(2));
  write_text(folder / "c.png", png(3));
  write_text(folder / "c.txt", "not this one");
  write_text(folder / "metadata.jsonl",
             "{\"file_name\": \"c.png\", \"text\": \"sea\"}\n{\"file_name\": \"train/a.png\", \"text\": \"far\"}\n{\"file_name\": "
             "\"./train/deep/b.png\", \"prompt\": \"lake\"}\n");
  write_text(folder / "train/metadata.csv", "note,file_name,caption\n1,a.png,\"near, \"\"quoted\"\"\nand two lines\"\n");
  const auto records = read_all(images_of(folder));
  REQUIRE(records.size() == 3);
  CHECK(records[0].prompt == "sea");
  CHECK(records[1].prompt == "near, \"quoted\"\nand two lines");
  CHECK(records[2].prompt == "lake");
  DataConfig config = images_of(folder / "train");
  config.caption_column = "note";
  config.caption = "z";
  CHECK(read_all(config)[0].prompt == "1");
  config.caption_column = "other";
  CHECK(has(error_of([&] { open_pairs(config); }), "metadata.csv:1: expected a column 'other', found note, file_name or caption"));
  write_text(folder / "train/metadata.csv", "file_name,text\n../c.png,x\n");
  CHECK(has(error_of([&] { open_pairs(images_of(folder)); }), "metadata.csv:2: file_name is '../c.png', expected a path below"));
  write_text(folder / "train/metadata.csv", "file_name,text\na.png\n");
  CHECK(has(error_of([&] { open_pairs(images_of(folder)); }), "metadata.csv:2: expected 2 fields, found 1"));
  write_text(folder / "train/metadata.csv", "file_name,text\na.png,\n");
  CHECK(has(error_of([&] { open_pairs(images_of(folder)); }), "metadata.csv:2: the caption is empty"));
  write_text(folder / "metadata.jsonl", "{\"file_name\": \"/etc/passwd\", \"text\": \"sea\"}\n");
  fs::remove(folder / "train/metadata.csv");
  CHECK(has(error_of([&] { open_pairs(images_of(folder)); }), "metadata.jsonl:1: file_name is '/etc/passwd'"));
}

TEST_CASE("folder: kohya's N_concept folders give repeats and captions") {
  const fs::path folder = fresh_folder("concepts");
  write_text(folder / "10_sks dog/a.png", png(1));
  write_text(folder / "10_sks dog/b.png", png(2));
  write_text(folder / "10_sks dog/b.txt", "sks dog on a sofa");
  write_text(folder / "2024_holiday/c.png", png(3));
  write_text(folder / "2024_holiday/c.txt", "a beach");
  DataConfig config = images_of(folder);
  config.num_repeats = 2;
  const auto records = read_all(config);
  REQUIRE(records.size() == 3);
  CHECK(records[0].prompt == "sks dog");
  CHECK(records[0].repeats == 20);
  CHECK(records[1].prompt == "sks dog on a sofa");
  CHECK(records[2].repeats == 2);  // a year, not two thousand repeats
}

TEST_CASE("folder: its content changes with a picture, a caption and a repeat, and not with its place") {
  const fs::path folder = fresh_folder("content");
  write_text(folder / "one/a.png", png(1));
  write_text(folder / "one/a.txt", "x");
  fs::copy(folder / "one", folder / "two");
  const std::string before = content(images_of(folder / "one"));
  CHECK(content(images_of(folder / "two")) == before);
  DataConfig often = images_of(folder / "one");
  often.num_repeats = 3;
  CHECK(content(often) != before);
  write_text(folder / "one/a.txt", "y");
  const std::string after = content(images_of(folder / "one"));
  CHECK(after != before);
  write_text(folder / "one/a.png", png(2));
  CHECK(content(images_of(folder / "one")) != after);
}

TEST_CASE("pairs in folders: win/ and lose/ with equal names") {
  const fs::path folder = fresh_folder("win_lose");
  write_text(folder / "win/a.png", png(1));
  write_text(folder / "win/a.txt", "a cat");
  write_text(folder / "lose/a.jpg", png(2));
  write_text(folder / "win/b.png", png(3));
  write_text(folder / "win/b.txt", "a dog");
  DataConfig config;
  config.pairs = {folder.string()};
  const auto source = open_pairs(config);
  REQUIRE(source->rows() == 2);
  PairRecord record;
  CHECK(source->read(0, record));
  CHECK(record.kind == PairRecord::Kind::pair);
  CHECK(record.prompt == "a cat");
  CHECK(record.win == png(1));
  CHECK(record.lose == png(2));
  CHECK(record.preference == 1);
  CHECK(has(error_of([&] { source->read(1, record); }), "b.png: has no rejected picture of that name"));
}

TEST_CASE("pairs in folders: several, with kohya's repeats and captions") {
  const fs::path folder = fresh_folder("concept_pairs");
  for (const char* name : {"3_sks dog", "cats"}) {
    write_text(folder / name / "w/a.png", png(static_cast<uint8_t>(name[0])));
    write_text(folder / name / "l/a.png", png(2));
  }
  write_text(folder / "cats/w/a.txt", "a cat");
  DataConfig config;
  config.pairs = {folder.string()};
  const auto source = open_pairs(config);
  REQUIRE(source->rows() == 2);
  PairRecord dog, cat;
  CHECK(source->read(0, dog));
  CHECK(source->read(1, cat));
  CHECK(dog.prompt == "sks dog");
  CHECK(dog.repeats == 3);
  CHECK(cat.prompt == "a cat");
  CHECK(cat.repeats == 1);
  CHECK(cat.lose == png(2));
}

TEST_CASE("pairs in parquet: TRL's prompt, chosen, rejected") {
  const fs::path folder = fresh_folder("trl");
  using Kind = ParquetWriter::Kind;
  ParquetWriter writer(folder / "trl.parquet", {{"prompt", Kind::text}, {"chosen", Kind::binary}, {"rejected", Kind::binary}});
  writer.text(0, "a cat");
  writer.text(1, png(1));
  writer.text(2, png(2));
  writer.end_row();
  writer.commit();
  DataConfig config;
  config.pairs = {(folder / "trl.parquet").string()};
  PairRecord record;
  CHECK(open_pairs(config)->read(0, record));
  CHECK(record.prompt == "a cat");
  CHECK(record.win == png(1));
  CHECK(record.lose == png(2));
  CHECK(record.preference == 1);
}

TEST_CASE("webdataset: keys, suffixes and captions of every kind, read in place") {
  const auto source = open_pairs(images_of(golden("images_ustar.tar")));
  REQUIRE(source->rows() == 6);
  const std::vector<std::string> captions = {"caption 0", "caption 1", "from json 2", "naïve 東京", "", "caption 5"};
  for (const int64_t row : {5, 0, 3, 1, 2}) {
    PairRecord record;
    CHECK(source->read(row, record));
    CHECK(record.prompt == captions[static_cast<size_t>(row)]);
    CHECK(decode_image(record.win, "").size(2) == 24 + 4 * row);
    CHECK(has(record.origin, "images_ustar.tar: sample 'dir/00" + std::to_string(row) + "'"));
  }
  PairRecord record;
  CHECK(has(error_of([&] { source->read(4, record); }), "sample 'dir/004': has no caption"));
  DataConfig config = images_of(golden("images_ustar.tar"));
  config.caption = "a thing";
  CHECK(open_pairs(config)->read(4, record));
  CHECK(record.prompt == "a thing");
  config.caption_column = "note";  // a column means the .json
  CHECK(open_pairs(config)->read(0, record));
  CHECK(record.prompt == "a thing");
}

TEST_CASE("webdataset: long names of GNU and pax; shards by braces and folders") {
  for (const char* name : {"images_gnu.tar", "images_pax.tar"}) {
    const auto records = read_all(images_of(golden(name)));
    REQUIRE(records.size() == 2);
    CHECK(records[1].prompt == "long 1");
    CHECK(decode_image(records[1].win, "").size(2) == 17);
    CHECK(has(records[0].origin, concat(std::string(90, 'a'), "/ü", std::string(120, 'b'), "0'")));
  }
  const fs::path folder = fresh_folder("shards");
  fs::copy(golden("images_gnu.tar"), folder / "x-009.tar");
  fs::copy(golden("images_pax.tar"), folder / "x-010.tar");
  CHECK(read_all(images_of(folder)).size() == 4);
  CHECK(read_all(images_of(folder / "x-{009..010}.tar")).size() == 4);
  CHECK(read_all(images_of(folder / "x-0{10,09}.tar")).size() == 4);
  CHECK(has(error_of([&] { open_pairs(images_of(folder / "x-{009..011}.tar")); }), "x-011.tar' does not exist"));
  CHECK(has(error_of([&] { open_pairs(images_of(folder / "x-{a..b}.tar")); }), "expected {000..012}"));
  write_text(folder / "x.tgz", "\x1f\x8b");
  CHECK(has(error_of([&] { open_pairs(images_of(folder / "x.tgz")); }), "unpack it to a plain .tar"));
}

TEST_CASE("parquet: the Image struct by the footer's word, captions by their usual name, paths never opened") {
  const auto source = open_pairs(images_of(golden("images_struct.parquet")));
  REQUIRE(source->rows() == 5);
  for (const int64_t row : {0, 1, 4, 2}) {
    PairRecord record;
    CHECK(source->read(row, record));
    CHECK(record.prompt == "row " + std::to_string(row) + ": naïve 東京");
    CHECK(decode_image(record.win, "").size(2) == 20 + 4 * row);
  }
  PairRecord record;
  const std::string error = error_of([&] { source->read(3, record); });
  CHECK(has(error, "images_struct.parquet row 3: photo holds no picture"));
  CHECK(has(error, "a path in it is never opened"));
  DataConfig config = images_of(golden("images_struct.parquet"));
  config.image_column = "pohto";
  CHECK(has(error_of([&] { open_pairs(config); }), "has no column 'pohto', named by data.image_column (did you mean 'photo'?)"));
  CHECK(has(error_of([&] { open_pairs(images_of(golden("data_pickapic.parquet"))); }), "pairs of pictures are named by data.pairs"));
  config = images_of(golden("data_pickapic.parquet"));
  config.image_column = "jpg_0";
  CHECK(open_pairs(config)->read(0, record));
  CHECK(has(record.prompt, "prompt 0"));
}

TEST_CASE("lists: .jsonl and .csv name pictures from their own folder and captions; mistakes name their line") {
  const fs::path folder = fresh_folder("lists");
  write_text(folder / "pictures/a.png", png(1));
  write_text(folder / "pictures/b.png", png(2));
  write_text(folder / "lists/all.jsonl",
             "{\"image\": \"../pictures/a.png\", \"text\": \"one, two, three\"}\n\n{\"file_name\": \"../pictures/b.png\", \"label\": "
             "\"four\", \"prompt\": \"five\"}\n");
  write_text(folder / "lists/all.csv", "path,caption\n../pictures/b.png,\"six, seven\"\n");
  DataConfig config;
  config.images = {(folder / "lists/all.jsonl").string(), (folder / "lists/all.csv").string()};
  config.shuffle_caption = true;
  config.keep_tokens = 1;
  const auto records = read_all(config);
  REQUIRE(records.size() == 3);
  CHECK(records[0].win == png(1));
  CHECK(records[1].win == png(2));
  CHECK(records[0].prompt == "one, two, three");
  CHECK(records[1].prompt == "five");
  CHECK(records[2].prompt == "six, seven");
  CHECK(records[0].wordings.size() == 7);
  CHECK(records[0].wordings[0].starts_with("one, t"));
  CHECK(records[2].wordings.empty());  // one tag stays, so there is nothing to exchange
  config.images.pop_back();
  config.caption_column = "label";
  CHECK(has(error_of([&] { open_pairs(config); }), "all.jsonl:1: expected a caption in 'label', found none"));
  write_text(folder / "pairs.jsonl", "{\"prompt\": \"x\", \"chosen\": \"a.png\", \"rejected\": \"b.png\"}\n");
  CHECK(has(error_of([&] { open_pairs(images_of(folder / "pairs.jsonl")); }),
            "pairs.jsonl:1: lists a preference pair: name the file by data.pairs"));
  write_text(folder / "gone.csv", "file_name,text\ngone.png,x\n");
  const auto source = open_pairs(images_of(folder / "gone.csv"));
  PairRecord record;
  const std::string error = error_of([&] { source->read(0, record); });
  CHECK(has(error, "gone.csv:2: "));
  CHECK(has(error, "gone.png"));
}
