// Labels, rewards and base prompts of single pictures, out of every kind of file; pictures of the class beside others.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/data/readers/prior.h"
#include "palate/io/parquet.h"
#include "tests/support/expect_close.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// FOLDER/0.png ... of one tone each.
fs::path pictures(const std::string& name, int count) {
  const fs::path folder = fresh_folder(name);
  for (int i = 0; i < count; ++i) write_text(folder / concat(i, ".png"), png(static_cast<uint8_t>(10 * i + 5)));
  return folder;
}

DataConfig noted_images(const fs::path& path) {
  DataConfig config;
  config.images = {path.string()};
  return config;
}

std::vector<PairRecord> read_noted(const DataConfig& config) {
  const auto source = open_pairs(config);
  std::vector<PairRecord> records(static_cast<size_t>(source->rows()));
  for (size_t row = 0; row < records.size(); ++row) {
    source->read(static_cast<int64_t>(row), records[row]);
    PairRecord notes;
    source->notes(static_cast<int64_t>(row), notes);
    CHECK(notes.notes.content() == records[row].notes.content());  // whether pictures are read or not
    CHECK(notes.origin == records[row].origin);
    CHECK(notes.repeats == records[row].repeats);
  }
  return records;
}

std::string complaint(const DataConfig& config, const NotesWanted& wanted) {
  return error_of([&] { check_notes(config, *open_pairs(config), wanted); });
}

}  // namespace

TEST_CASE("notes: a list with labels, rewards and base prompts; a thumb down is another example than a thumb up of the same picture") {
  const fs::path folder = pictures("notes_list", 2);
  write_text(folder / "list.jsonl",
             "{\"image\": \"0.png\", \"text\": \"a <dog>\", \"label\": true, \"reward\": 1.5, \"base_prompt\": \"a dog\"}\n"
             "{\"image\": \"0.png\", \"text\": \"a <dog>\", \"label\": -1, \"reward\": \"0.25\"}\n"
             "{\"image\": \"1.png\", \"text\": \"a cat\", \"label\": 0, \"base_text\": \"an animal\"}\n"
             "{\"image\": \"1.png\", \"text\": \"a cat \", \"label\": null}\n");
  const auto records = read_noted(noted_images(folder / "list.jsonl"));
  CHECK(records[0].preference == 1);
  CHECK(records[0].notes.reward == 1.5);
  CHECK(records[0].notes.base_prompt == "a dog");
  CHECK(records[1].preference == -1);
  CHECK(records[1].notes.reward == 0.25);
  CHECK(records[0].id != records[1].id);
  CHECK(records[2].notes.label == -1);
  CHECK(records[2].notes.base_prompt == "an animal");
  CHECK(records[3].notes.label == 0);
  CHECK(std::isnan(records[3].notes.reward));
}

TEST_CASE("notes: a CSV, a folder's metadata, folders good/ and bad/, a parquet of any type of column") {
  const fs::path folder = pictures("notes_kinds", 3);
  write_text(folder / "list.csv", "image,text,label,reward\n0.png,a,True,1\n1.png,b,false,-2e1\n");
  const auto csv = read_noted(noted_images(folder / "list.csv"));
  CHECK(csv[0].notes.label == 1);
  CHECK(csv[1].notes.label == -1);
  CHECK(csv[1].notes.reward == -20);

  fs::create_directories(folder / "sorted/good");
  fs::create_directories(folder / "sorted/bad");
  fs::rename(folder / "0.png", folder / "sorted/bad/0.png");
  fs::rename(folder / "1.png", folder / "sorted/good/1.png");
  write_text(folder / "sorted/good/metadata.jsonl", "{\"file_name\": \"1.png\", \"text\": \"a dog\", \"base_prompt\": \"an animal\"}\n");
  DataConfig sorted = noted_images(folder / "sorted");
  sorted.caption = "a thing";
  const auto records = read_noted(sorted);
  CHECK(records[0].notes.label == -1);
  CHECK(records[0].prompt == "a thing");
  CHECK(records[1].notes.label == 1);
  CHECK(records[1].notes.base_prompt == "an animal");

  using Kind = ParquetWriter::Kind;
  const fs::path file = folder / "pictures.parquet";
  ParquetWriter writer(
      file,
      {{"image", Kind::binary}, {"text", Kind::text}, {"label", Kind::boolean}, {"reward", Kind::number}, {"base_prompt", Kind::text}});
  for (int row = 0; row < 2; ++row) {
    writer.text(0, png(static_cast<uint8_t>(40 + row)));
    writer.text(1, "a cat");
    writer.number(2, row);
    writer.number(3, row == 0 ? std::nan("") : 0.5);
    writer.text(4, row == 0 ? "" : "an animal");
    writer.end_row();
  }
  writer.commit();
  const auto table = read_noted(noted_images(file));
  CHECK(table[0].notes.label == -1);
  CHECK(table[1].notes.label == 1);
  CHECK(table[1].notes.reward == 0.5);
  CHECK(table[1].notes.base_prompt == "an animal");
  CHECK(has(complaint(noted_images(file), {.loss = "rwr", .rewards = true}),
            "pictures.parquet row 0: 'reward' is nan: the loss 'rwr' weighs each picture by its reward, which must be a finite number"));
  CHECK(complaint(noted_images(file), {.loss = "kto", .labels = true}).empty());
}

TEST_CASE("notes: what a loss learns from must be there, and thumbs must not be all alike: one sentence with the line") {
  const fs::path folder = pictures("notes_wrong", 2);
  const auto says = [&](const std::string& second, const NotesWanted& wanted) {
    const fs::path list = folder / "list.jsonl";
    write_text(list, "{\"image\": \"0.png\", \"text\": \"a\", \"label\": 1, \"reward\": 0}\n{\"image\": \"1.png\", \"text\": \"b\"" +
                         second + "}\n");
    return complaint(noted_images(list), wanted);
  };
  const NotesWanted kto{.loss = "kto", .labels = true}, rwr{.loss = "rwr", .rewards = true};
  CHECK(has(says("", kto), "list.jsonl:2: 'label' is missing: the loss 'kto' learns from pictures with a thumb up (true or 1) or down"));
  CHECK(has(says(", \"label\": 7", kto), "list.jsonl:2: 'label' is 7"));
  CHECK(has(says(", \"label\": true", kto), "data.images: all 2 pictures have a thumb up: the loss 'kto' learns from the difference"));
  CHECK(says(", \"label\": false", kto).empty());
  CHECK(has(says(", \"reward\": \"high\"", rwr), "list.jsonl:2: 'reward' is high"));
  CHECK(has(says(", \"reward\": null", rwr), "list.jsonl:2: 'reward' is missing"));
  CHECK(has(says(", \"reward\": NaN", rwr), "list.jsonl:2"));     // Python writes that, and it is not JSON
  CHECK(says(", \"label\": 7, \"reward\": 1e300", rwr).empty());  // a label that nobody asks for
}

TEST_CASE("notes: the cache gives labels, rewards and the states of base prompts; a changed note is another cache") {
  const fs::path folder = pictures("notes_cache", 3), list = folder / "list.jsonl", caches = fresh_folder("notes_caches");
  const std::string lines =
      "{\"image\": \"0.png\", \"text\": \"a <dog>\", \"reward\": 2, \"base_prompt\": \"a dog\"}\n"
      "{\"image\": \"1.png\", \"text\": \"a cat\", \"label\": false}\n";
  write_text(list, lines + "{\"image\": \"2.png\", \"text\": \"a <dog>\", \"label\": 1}\n");
  DataConfig config = noted_images(list);
  config.held_out = 0;
  FakeEncoders encoders;
  const PairCache cache = PairCache::open(encoders, config, caches, 0);
  const auto rows = all_rows(cache);
  const Batch batch = cache.batch(rows, std::vector<uint64_t>(3, 0), {.augment = false});
  expect_equal("label", batch.label, torch::tensor({1.F, -1.F, 1.F}));
  CHECK(batch.reward[0].item<double>() == 2);
  CHECK(batch.reward[1].isnan().item<bool>());
  CHECK_FALSE(batch.prior.defined());
  CHECK(batch.base_prompts == std::vector<std::string>{"a dog", "a cat", "a <dog>"});
  const Tensor base = batch.base_condition["encoder_hidden_states"], own = batch.condition["encoder_hidden_states"];
  expect_equal("asked", base[0], FakeEncoders::states("a dog")[0]);
  expect_equal("others", base.slice(0, 1), own.slice(0, 1));
  expect_equal("own", own[0], FakeEncoders::states("a <dog>")[0]);
  CHECK(cache.batch({rows[1]}, {0}, {}).base_condition.empty());  // nothing else is asked
  const Batch dropped = cache.batch({rows[0]}, {0}, {.caption_dropout = 1});
  CHECK(dropped.prompts[0].empty());
  CHECK(dropped.base_condition.empty());
  write_text(list, lines + "{\"image\": \"2.png\", \"text\": \"a <dog>\", \"label\": 0}\n");
  CHECK(PairCache::open(encoders, config, caches, 0).key() != cache.key());
}

TEST_CASE("prior: pictures of the class come as often as the learned ones, weigh what they are told, and are never held out") {
  const fs::path learned = pictures("prior_learned", 3), made = pictures("prior_made", 7);
  DataConfig config = noted_images(learned);
  config.caption = "a photo of <toy>";
  config.held_out = 0.9;
  const auto source = with_prior(open_pairs(config), made, "a photo of a toy", 0.25);
  REQUIRE(source->rows() == 10);
  int64_t ours = 0, of_class = 0;
  for (int64_t row = 0; row < 10; ++row) {
    PairRecord record;
    REQUIRE(source->read(row, record));
    CHECK(record.prior == (row >= 3));
    CHECK(record.weight == (row >= 3 ? 0.25 : 1));
    CHECK(record.prompt == (row >= 3 ? "a photo of a toy" : "a photo of <toy>"));
    (row >= 3 ? of_class : ours) += record.repeats;
  }
  CHECK(ours == 9);  // three times three, the least whole epochs that reach seven
  CHECK(of_class == 9);
  FakeEncoders encoders;
  const PairCache cache = PairCache::open(encoders, config, *source, fresh_folder("prior_cache"), 0);
  for (const int64_t row : cache.rows(Split::held_out)) CHECK_FALSE(cache.prior(row));
  const auto& train = cache.rows(Split::train);
  const Batch batch = cache.batch(train, std::vector<uint64_t>(train.size(), 0), {});
  CHECK(batch.prior.sum().item<int64_t>() == 7);
  CHECK(batch.weight.masked_select(batch.prior).eq(0.25F).all().item<bool>());
  CHECK(has(error_of([&] { with_prior(open_pairs(config), fresh_folder("prior_none"), "a toy", 1); }), "holds no picture"));
}
