// Runs on data.images, whatever it lies in, and on pictures of several shapes.
#include <doctest/doctest.h>
#include <signal.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/tar_reader.h"
#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Supervised training on pictures instead of the run's pairs.
Words on_images(const fs::path& path, const Words& more = {}) {
  return Words{"data.pairs=[]", "data.images=[\"" + path.string() + "\"]", "objective.loss=sft", "objective.reference=none",
               "data.held_out=0.3"} +
         more;
}

const Words buckets = {"data.enable_bucket=true", "data.min_bucket_reso=8", "data.max_bucket_reso=32", "data.bucket_reso_steps=4"};

// Twelve pictures of three shapes with captions.
fs::path pictures_of_shapes(const fs::path& folder) {
  for (int i = 0; i < 12; ++i) {
    const int64_t height = i % 3 == 0 ? 32 : 20, width = i % 3 == 1 ? 32 : 20;
    write_text(folder / concat(i, ".png"),
               encode_png((torch::arange(3 * height * width) * (2 * i + 3) % 251).to(torch::kByte).view({3, height, width})));
    write_text(folder / concat(i, ".txt"), concat("a picture of thing ", i / 2));
  }
  return folder;
}

// The samples of a shard as files beside one another.
fs::path unpacked(const fs::path& tar, const fs::path& folder) {
  const std::string bytes = read_text(tar);
  for (const TarEntry& entry : read_tar_table(bytes, tar.string())) {
    const fs::path name = fs::path(entry.name).filename();
    if (name.has_extension() && !name.string().starts_with('.')) write_text(folder / name, bytes.substr(entry.begin, entry.size));
  }
  write_text(folder / "002.txt", "from json 2");
  return folder;
}

double first_loss(const fs::path& run) { return Json::parse(timeless_metrics(run)[0])["loss"].get<double>(); }

}  // namespace

TEST_CASE("images: buckets of several shapes, views, repeats: a run in two parts equals one in one part, to the bit") {
  for (const char* model : {"tiny_pipeline", "tiny_pipeline_xl"}) {
    const TinyRun tiny(std::string("shapes_") + model);
    const fs::path folder = pictures_of_shapes(tiny.folder / "pictures");
    fs::create_directories(folder / "3_often");
    fs::rename(folder / "4.png", folder / "3_often/4.png");  // without its caption file: the folder's name is its caption
    const Words settings = on_images(folder, buckets) + Words{"model=" + (repository() / "tests/golden" / model).string(),
                                                              "data.crop=random", "data.flip=true", "data.variants=2"};
    const auto whole = tiny.train("whole", settings);
    INFO(whole.err);
    REQUIRE(whole.status == 0);
    CHECK(whole.err.find("12 pictures of") != std::string::npos);
    CHECK(whole.err.find("3 buckets") != std::string::npos);
    REQUIRE(tiny.train("parts", settings + Words{"train.steps=7"}).status == 0);
    fs::remove_all(checkpoint_path(tiny.output("parts"), 7));  // on from step 4, in the middle of an epoch
    const auto rest = tiny.train("parts", settings + Words{"resume=latest"});
    INFO(rest.err);
    REQUIRE(rest.status == 0);
    CHECK(rest.err.find("going on after step 4") != std::string::npos);
    expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
  }
}

TEST_CASE("images: killed while it caches and trains, it ends with the same bits") {
  const TinyRun tiny("images_killed");
  const Words settings = on_images(pictures_of_shapes(tiny.folder / "pictures"), buckets) + Words{"train.checkpoint_every=1"};
  REQUIRE(tiny.train("whole", settings + Words{"data.cache=" + (tiny.folder / "other").string()}).status == 0);
  for (int attempt = 0; attempt < 20; ++attempt) {
    const auto part =
        run_and_signal(tiny.arguments("parts", settings + Words{"resume=latest"}), attempt < 6 ? 120 + 90 * attempt : 60000, SIGKILL);
    INFO(part.err);
    REQUIRE((part.status == 0 || part.status == 128 + SIGKILL));
    if (part.status == 0) break;
  }
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
}

TEST_CASE("images: a shard trains as the same files in a folder do, to the bit") {
  const TinyRun tiny("shard");
  const fs::path tar = golden("images_ustar.tar");
  const Words more = {"data.caption=a thing"};
  const auto shard = tiny.train("shard", on_images(tar, more)),
             folder = tiny.train("folder", on_images(unpacked(tar, tiny.folder / "files"), more));
  INFO(shard.err);
  INFO(folder.err);
  REQUIRE(shard.status == 0);
  REQUIRE(folder.status == 0);
  expect_same_run(tiny.output("shard"), tiny.output("folder"), 12);
}

TEST_CASE("images: a parquet with an Image struct; its row without bytes is named, or passed over and counted") {
  const TinyRun tiny("struct");
  const Words settings = on_images(golden("images_struct.parquet"), {"train.steps=2"});
  const auto named = tiny.train("named", settings);
  INFO(named.err);
  CHECK(named.status == 1);
  CHECK(named.err.find("images_struct.parquet row 3: photo holds no picture") != std::string::npos);
  const auto passed = tiny.train("passed", settings + Words{"data.skip_bad=true"});
  INFO(passed.err);
  CHECK(passed.status == 0);
  CHECK(passed.err.find("1 unreadable") != std::string::npos);
}

TEST_CASE("images: kohya's dataset TOML; what stands in the run's config is asked for there") {
  const TinyRun tiny("kohya");
  const fs::path folder = pictures_of_shapes(tiny.folder / "pictures"), file = tiny.folder / "dataset.toml";
  write_text(file,
             "[general]\nenable_bucket = true\nbucket_reso_steps = 4\nmin_bucket_reso = 8\nmax_bucket_reso = 64\n[[datasets]]\nresolution "
             "= [20, 16]\nbatch_size = 2\n"
             "[[datasets.subsets]]\nimage_dir = 'pictures'\nnum_repeats = 2\nflip_aug = true\nshuffle_caption = true\n");
  const auto wrong = tiny.train("wrong", on_images(file, {"data.variants=2"}));
  INFO(wrong.err);
  CHECK(wrong.status == 2);
  CHECK(wrong.err.find("dataset.toml:8: batch_size is 2, but the run's is 3: set train.batch = 2") != std::string::npos);
  CHECK_FALSE(fs::exists(tiny.output("wrong")));
  const auto right = tiny.train("right", on_images(file, {"data.variants=2", "train.batch=2"}));
  INFO(right.err);
  CHECK(right.status == 0);
  CHECK(fs::exists(tiny.output("right") / "pytorch_lora_weights.safetensors"));
}

TEST_CASE("images: palate inspect tells what a shard, a parquet of pairs and a folder hold") {
  const auto shard = run_program({"inspect", golden("images_ustar.tar").string(), "--json"});
  const Json told = Json::parse(shard.out);
  CHECK(told["examples"] == "pictures");
  CHECK(told["rows"] == 6);
  CHECK(told["unreadable"] == 0);
  CHECK(told["without_caption"] == 1);
  CHECK(told["formats"] == Json{{"JPEG", 5}, {"PNG", 1}});
  CHECK(told["sizes"]["24x32"] == 1);
  const Json pairs = Json::parse(run_program({"inspect", golden("data_pickapic.parquet").string(), "--json"}).out);
  CHECK(pairs["examples"] == "pairs");
  CHECK(pairs["ties"] == 2);
  CHECK(pairs["unlabelled"] == 1);
  const fs::path folder = pictures_of_shapes(fresh_folder("inspected"));
  CHECK(run_program({"inspect", folder.string()}).out.find("20x20 4, 20x32 4, 32x20 4") != std::string::npos);
}

TEST_CASE("images: an objective that needs rejected pictures says so before anything is made") {
  const TinyRun tiny("no_losers");
  const auto result =
      tiny.train("run", {"data.pairs=[]", "data.images=[\"" + pictures_of_shapes(tiny.folder / "pictures").string() + "\"]"});
  INFO(result.err);
  CHECK(result.status == 2);
  CHECK(result.err.find("objective.loss: 'dpo' compares a preferred picture with a rejected one") != std::string::npos);
  const auto both = tiny.train("run", {"data.images=[\"x\"]", "objective.loss=sft"});
  CHECK(both.status == 2);
  CHECK(both.err.find("data.pairs and data.images are both given") != std::string::npos);
  CHECK_FALSE(fs::exists(tiny.output("run")));
}

TEST_CASE("pairs of several shapes: DPO in buckets, with the same errors from the reference and from its cache") {
  const TinyRun tiny("pair_shapes");
  const fs::path folder = pictures_of_shapes(tiny.folder / "pictures");
  std::string lines;
  for (int i = 0; i < 12; ++i)
    lines += Json{{"prompt", concat("thing ", i / 2)},
                  {"chosen", concat("pictures/", i, ".png")},
                  {"rejected", concat("pictures/", (i + 5) % 12, ".png")}}
                 .dump() +
             "\n";
  write_text(tiny.folder / "shapes.jsonl", lines);
  const Words settings = Words{"data.pairs=[\"" + (tiny.folder / "shapes.jsonl").string() + "\"]", "lora.dropout=0"} + buckets;
  const auto plain = tiny.train("plain", settings),
             cached = tiny.train("cached", settings + Words{"objective.reference=cached", "objective.reference_draws=20"});
  INFO(plain.err);
  INFO(cached.err);
  REQUIRE(plain.status == 0);
  REQUIRE(cached.status == 0);
  CHECK(plain.err.find("2 buckets") != std::string::npos);  // of the smaller picture of each pair
  CHECK(std::abs(first_loss(tiny.output("plain")) - first_loss(tiny.output("cached"))) < 1e-4);
  REQUIRE(tiny.train("parts", settings + Words{"train.steps=7"}).status == 0);
  fs::remove_all(checkpoint_path(tiny.output("parts"), 7));
  REQUIRE(tiny.train("parts", settings + Words{"resume=latest"}).status == 0);
  expect_same_run(tiny.output("parts"), tiny.output("plain"), 12);
}
