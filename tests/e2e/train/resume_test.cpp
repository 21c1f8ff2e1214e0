// A run that was stopped in any way and went on gives the same bits as one that was left alone.
#include <doctest/doctest.h>
#include <signal.h>

#include <random>

#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

TEST_CASE("resume: a run in two parts equals one in one part, to the bit") {
  const TinyRun tiny("two_parts");
  const auto whole = tiny.train("whole");
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  CHECK(whole.out == tiny.output("whole").string() + "\n");
  REQUIRE(tiny.train("parts", {"train.steps=7"}).status == 0);
  // Without the checkpoint that the end of the short run wrote it goes on from step 4, in the middle of a window of metrics,
  // and takes back what was logged, validated and saved after that.
  fs::remove_all(checkpoint_path(tiny.output("parts"), 7));
  const auto rest = tiny.train("parts", {"resume=latest"});
  INFO(rest.err);
  REQUIRE(rest.status == 0);
  CHECK(rest.err.find("going on after step 4") != std::string::npos);
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
}

TEST_CASE("sdxl: a LoRA is trained, resumed to the bit and sampled with, from the folder alone") {
  const TinyRun tiny("sdxl");
  const std::string model = (repository() / "tests/golden/tiny_pipeline_xl").string();
  const auto whole = tiny.train("whole", {"model=" + model});
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  REQUIRE(tiny.train("parts", {"model=" + model, "train.steps=7"}).status == 0);
  fs::remove_all(checkpoint_path(tiny.output("parts"), 7));  // as above: on from step 4
  REQUIRE(tiny.train("parts", {"model=" + model, "resume=latest"}).status == 0);
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
  const auto pictures =
      run_program({"sample", "--model", model, "--lora", (tiny.output("whole") / "pytorch_lora_weights.safetensors").string(), "--prompt",
                   "a thing", "--steps", "2", "--out", tiny.output("pictures").string()});
  INFO(pictures.err);
  CHECK(pictures.status == 0);
  CHECK(fs::exists(tiny.output("pictures") / "00000.png"));
}

TEST_CASE("resume: kill -9 at random moments loses nothing but time") {
  const TinyRun tiny("killed");
  REQUIRE(tiny.train("whole", {"train.checkpoint_every=1", "train.keep_checkpoints=2"}).status == 0);
  std::mt19937 random(7);
  int killed = 0;
  for (int attempt = 0; attempt < 40; ++attempt) {
    // A first attempt without resume would stop at a folder that holds a run already, so every one may go on.
    const auto part = run_and_signal(tiny.arguments("parts", {"train.checkpoint_every=1", "train.keep_checkpoints=2", "resume=latest"}),
                                     attempt < 8 ? 150 + static_cast<int>(random() % 900) : 60000, SIGKILL);
    INFO(part.err);
    REQUIRE((part.status == 0 || part.status == 128 + SIGKILL));
    if (part.status == 0) break;
    ++killed;
    for (const int64_t step : checkpoint_steps(tiny.output("parts")))
      CHECK(checkpoint_fault(checkpoint_path(tiny.output("parts"), step)).empty());
  }
  CHECK(killed > 0);
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
  for (const auto& entry : fs::directory_iterator(tiny.output("parts"))) CHECK(entry.path().string().find(".tmp-") == std::string::npos);
}

TEST_CASE("resume: SIGTERM and SIGINT write a checkpoint and say how to go on") {
  const TinyRun tiny("stopped");
  for (const int number : {SIGTERM, SIGINT}) {
    const std::string name = number == SIGTERM ? "term" : "int";
    const fs::path run = tiny.output(name);
    Background program(tiny.arguments(name, {"train.steps=100000", "train.checkpoint_every=0", "train.log_every=1"}),
                       tiny.folder / (name + ".log"));
    REQUIRE(program.wait_for(run / "metrics.jsonl", 3));
    program.signal(number);
    CHECK(program.finish() == 1);
    const std::string said = program.errors();
    INFO(said);
    CHECK(said.find("resume=latest") != std::string::npos);
    const auto steps = checkpoint_steps(run);
    REQUIRE(steps.size() == 1);
    CHECK(steps[0] >= 3);
    CHECK(checkpoint_fault(checkpoint_path(run, steps[0])).empty());
    const auto rest =
        run_program({"train", (run / "config.resolved.toml").string(), "resume=latest", "train.steps=" + std::to_string(steps[0] + 1)});
    INFO(rest.err);
    CHECK(rest.status == 0);
    CHECK(fs::exists(run / "pytorch_lora_weights.safetensors"));
  }
}

TEST_CASE("resume: a damaged checkpoint is passed over with a warning, and the result is still the same") {
  const TinyRun tiny("damaged");
  REQUIRE(tiny.train("whole").status == 0);
  REQUIRE(tiny.train("parts", {"train.steps=8"}).status == 0);
  const fs::path file = checkpoint_path(tiny.output("parts"), 8) / "state.safetensors";
  std::string bytes = read_text(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  write_text(file, bytes);
  const auto rest = tiny.train("parts", {"resume=latest"});
  INFO(rest.err);
  CHECK(rest.status == 0);
  CHECK(rest.err.find("does not agree with its SHA-256") != std::string::npos);
  CHECK(rest.err.find("going on after step 4") != std::string::npos);
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
}

TEST_CASE("resume: the whole U-Net in bf16 with a cached reference goes on to the bit too") {
  const TinyRun tiny("whole_unet");
  const std::vector<std::string> full = {"full=true",
                                         "train.dtype=bf16",
                                         "objective.reference=cached",
                                         "objective.reference_draws=3",
                                         "train.gradient_checkpointing=true",
                                         "train.keep_best=false"};
  auto part = full, rest = full;
  part.push_back("train.steps=7");
  rest.push_back("resume=latest");
  const auto whole = tiny.train("whole", full);
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  REQUIRE(tiny.train("parts", part).status == 0);
  fs::remove_all(checkpoint_path(tiny.output("parts"), 7));  // so that it goes on from step 4, in the middle of a window of metrics
  REQUIRE(tiny.train("parts", rest).status == 0);
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
  for (const char* name : {"model_index.json", "vae/config.json", "tokenizer/tokenizer_config.json", "unet/config.json"})
    CHECK(fs::exists(tiny.output("whole") / name));
}

TEST_CASE("resume: timesteps that are drawn by what the run has seen go on to the bit") {
  const TinyRun tiny("importance");
  // Masked by quantile: some of the four buckets always are, so that draws of the second part depend on the first.
  const std::vector<std::string> method = {"objective.loss=sdpo",        "objective.importance=sampled",   "objective.threshold=0",
                                           "objective.sampler_steps=10", "objective.timesteps=importance", "objective.mask_quantile=0.3",
                                           "objective.mask_buckets=4",   "objective.mask_after=1"};
  auto part = method, rest = method;
  part.push_back("train.steps=7");
  rest.push_back("resume=latest");
  const auto whole = tiny.train("whole", method);
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  REQUIRE(tiny.train("parts", part).status == 0);
  fs::remove_all(checkpoint_path(tiny.output("parts"), 7));  // so that it goes on from step 4, in the middle of a window of metrics
  REQUIRE(tiny.train("parts", rest).status == 0);
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
  const std::string metrics = read_text(tiny.output("whole") / "metrics.jsonl");
  for (const char* name : {"importance/b00", "importance/b03", "importance/masked", "clipped", "masked", "weight"})
    CHECK(metrics.find("\"" + std::string(name) + "\"") != std::string::npos);
  CHECK(metrics.find("\"importance/masked\":0.0,") == std::string::npos);  // in every window some were
  // Another number of buckets is another run.
  auto other = rest;
  other.insert(other.end(), {"objective.mask_buckets=5", "train.steps=13"});
  const auto refused = tiny.train("parts", other);
  INFO(refused.err);
  CHECK(refused.status == 2);
}
