// A reward model from pairs to a judge: what it learns, that a run in parts gives the same bits, and what is refused.
#include <doctest/doctest.h>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// The pairs of a tiny run, whose winners are warm and whose losers are cold, for a CLIPModel of one layer.
struct RewardRun {
  explicit RewardRun(const std::string& name) : pairs(name) {
    Json config = read_json(repository() / "assets/embedded_clip/config.json");
    for (const char* tower : {"text_config", "vision_config"})
      config[tower].update({{"hidden_size", 16}, {"intermediate_size", 32}, {"num_hidden_layers", 1}, {"num_attention_heads", 2}});
    config["vision_config"].update({{"image_size", 16}, {"patch_size", 8}});
    fs::create_directories(pairs.folder / "shape");
    write_json(pairs.folder / "shape/config.json", config);
    write_text(pairs.folder / "reward.toml", R"(
task = "reward-model"
model = ")" + (pairs.folder / "shape").string() + R"("
output = "unnamed"
seed = 3
threads = 1
[data]
pairs = [")" + (pairs.folder / "pairs.jsonl").string() +
                                                 R"("]
held_out = 0.3
ties = "soft"
[reward]
from_scratch = true
even_prompts = true
tokenizer = ")" + (repository() / "assets/base/tokenizer").string() +
                                                 R"("
[optimizer]
lr = 3e-3
warmup_steps = 3
[train]
steps = 12
batch = 4
accumulation = 2
ema = 0.5
checkpoint_every = 4
validate_every = 5
validation_pairs = 0
keep_best = true
log_every = 3
)");
  }
  ProcessResult train(const std::string& name, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"train", (pairs.folder / "reward.toml").string(), "output=" + pairs.output(name).string(),
                                    "data.cache=" + (pairs.folder / "cache").string()};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  TinyRun pairs;
};

}  // namespace

TEST_CASE("reward model: learns what is preferred, and is a judge then") {
  const RewardRun run("reward");
  const auto trained = run.train("taste", {"train.steps=60"});
  INFO(trained.err);
  REQUIRE(trained.status == 0);
  const fs::path model = run.pairs.output("taste") / "model";
  CHECK(read_json(run.pairs.output("taste") / "run.json")["metrics"]["held_out/accuracy"].get<double>() == 1.0);
  // Warm pictures score higher than cold ones of the same prompt.
  const fs::path pictures = run.pairs.output("pictures");
  fs::create_directories(pictures);
  for (const char* name : {"win3", "lose3"}) {
    fs::copy_file(run.pairs.folder / (std::string(name) + ".png"), pictures / (std::string(name) + ".png"));
    write_text(pictures / (std::string(name) + ".txt"), "a picture of thing 1\n");
  }
  const auto judged = run_program({"judge", pictures.string(), "--judge", "clip:" + model.string()});
  INFO(judged.err);
  REQUIRE(judged.status == 0);
  std::map<std::string, double> totals;
  read_jsonl(pictures / "scores.jsonl", [&](const Json& line, int64_t) {
    totals[line["image"].get<std::string>()] = line["total"].get<double>();
    CHECK(line["judge"].get<std::string>() == "clip:" + model.string());
  });
  REQUIRE(totals.size() == 2);
  CHECK(totals.at("win3.png") > totals.at("lose3.png"));
  // The result is trained on, and a checkpoint is a judge, too.
  const auto again = run.train("again", {"model=" + model.string(), "reward.from_scratch=false", "reward.tokenizer=", "train.steps=1"});
  INFO(again.err);
  CHECK(again.status == 0);
  CHECK(run_program({"judge", pictures.string(), "--judge", "clip:" + (checkpoint_path(run.pairs.output("taste"), 60) / "model").string()})
            .status == 0);
}

TEST_CASE("reward model: a run in two parts equals one in one part, to the bit") {
  const RewardRun run("reward_parts");
  const auto whole = run.train("whole");
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  REQUIRE(run.train("parts", {"train.steps=7"}).status == 0);
  fs::remove_all(checkpoint_path(run.pairs.output("parts"), 7));  // on from step 4
  const auto rest = run.train("parts", {"resume=latest"});
  INFO(rest.err);
  REQUIRE(rest.status == 0);
  expect_same_run(run.pairs.output("parts"), run.pairs.output("whole"), 12);
  CHECK(read_text(run.pairs.output("parts") / "model/model.safetensors") ==
        read_text(run.pairs.output("whole") / "model/model.safetensors"));
}

TEST_CASE("reward model: bad input is one sentence each") {
  const RewardRun run("reward_bad");
  const auto refused = [&](const std::vector<std::string>& more, const std::string& sentence, int status = 2) {
    const auto result = run.train("bad", more);
    INFO(result.err);
    CHECK(result.status == status);
    CHECK(result.err.find(sentence) != std::string::npos);
    CHECK(result.err.find('\n') == result.err.size() - 1);
    CHECK_FALSE(fs::exists(run.pairs.output("bad")));
  };
  const std::string base = (repository() / "assets/base").string();
  refused({"model=" + base + "/unet", "reward.from_scratch=false", "reward.tokenizer="}, "the class 'UNet2DConditionModel' is not");
  refused({"model=" + base + "/text_encoder", "reward.from_scratch=false", "reward.tokenizer="}, "the class 'CLIPTextModel' is not");
  refused({"model=nowhere"}, "nowhere");
  refused({"reward.tokenizer=nowhere"}, "nowhere");
  refused({"reward.from_scratch=false", "reward.tokenizer="}, "expected model.safetensors");
  refused({"data.flip=true"}, "data: a reward model sees pictures as its preprocessor_config.json says");
  write_json(run.pairs.folder / "shape/preprocessor_config.json", {{"crop_size", 32}, {"size", 32}});
  refused({}, "makes pictures of 32x32, but the vision tower of config.json takes 16x16");
  write_json(run.pairs.folder / "shape/preprocessor_config.json", {{"crop_size", 16}, {"size", 16}});
  fs::remove(run.pairs.folder / "lose0.png");
  refused({}, "lose0.png", 1);
}
