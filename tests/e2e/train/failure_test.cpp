// What goes wrong is said in one sentence, has its exit status, and loses nothing.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

TEST_CASE("failure: a loss that is not a number stops the run, names step and pair, and keeps the last good checkpoint") {
  const TinyRun tiny("nan");
  const auto result = tiny.train("run", {"optimizer.lr=1e30", "optimizer.warmup_steps=2", "train.checkpoint_every=1",
                                         "optimizer.clip_norm=0", "train.validate_every=0", "train.keep_best=false"});
  INFO(result.err);
  CHECK(result.status == 1);
  CHECK(result.err.find("is not a finite number") != std::string::npos);
  CHECK(result.err.find("step 3") != std::string::npos);  // step 1 has rate 0; step 2 throws the weights away
  CHECK(result.err.find("a picture of thing") != std::string::npos);
  CHECK(result.err.find("checkpoint-2") != std::string::npos);
  CHECK(checkpoint_fault(checkpoint_path(tiny.output("run"), 2)).empty());
  CHECK_FALSE(fs::exists(tiny.output("run") / "pytorch_lora_weights.safetensors"));
}

TEST_CASE("failure: a resume that is refused leaves the run's settings as they were, and the command that goes on works") {
  const TinyRun tiny("refused_resume");
  REQUIRE(tiny.train("run", {"train.steps=2"}).status == 0);
  const fs::path settings = tiny.output("run") / "config.resolved.toml";
  const std::string before = read_text(settings);
  CHECK(tiny.train("run", {"resume=latest", "train.steps=4", "lora.rank=3"}).status == 2);
  CHECK(read_text(settings) == before);
  CHECK(run_program({"train", settings.string(), "resume=latest", "train.steps=3"}).status == 0);
}

TEST_CASE("failure: of a pair whose pictures are judged one by one, each is named with the pair that it is of") {
  const TinyRun tiny("nan_kto");
  const auto result = tiny.train("run", {"objective.loss=kto", "optimizer.lr=1e30", "optimizer.warmup_steps=2", "optimizer.clip_norm=0",
                                         "train.validate_every=0", "train.keep_best=false"});
  INFO(result.err);
  CHECK(result.status == 1);
  const std::string first = "picture 1 of pair ";
  const size_t at = result.err.find(first);
  REQUIRE(at != std::string::npos);
  const std::string pair = result.err.substr(at + first.size(), 16);
  CHECK(result.err.find("picture 2 of pair " + pair + " (row ") != std::string::npos);
}

TEST_CASE("failure: a full disk is an error that leaves the last checkpoint whole and says how to go on") {
  const TinyRun tiny("disk");
  REQUIRE(tiny.train("run", {"train.steps=4", "lora.rank=64"}).status == 0);
  {
    // No file may grow beyond 40 kB here and in the programs started from here: checkpoints of this rank are larger.
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit tight{40000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    const auto result = tiny.train("run", {"resume=latest", "lora.rank=64"});
    setrlimit(RLIMIT_FSIZE, &before);
    INFO(result.err);
    CHECK(result.status == 1);
    CHECK(result.err.find("cannot be written") != std::string::npos);
    CHECK(result.err.find("checkpoint-4") != std::string::npos);
    CHECK(result.err.find("resume=latest") != std::string::npos);
  }
  CHECK(checkpoint_steps(tiny.output("run")) == std::vector<int64_t>{4});
  CHECK(checkpoint_fault(checkpoint_path(tiny.output("run"), 4)).empty());
  CHECK(tiny.train("run", {"resume=latest", "lora.rank=64"}).status == 0);
}

TEST_CASE("failure: an output folder in use, or with a run in it, is wrong use") {
  const TinyRun tiny("in_use");
  Background first(tiny.arguments("run", {"train.steps=100000", "train.log_every=1"}), tiny.folder / "first.log");
  REQUIRE(first.wait_for(tiny.output("run") / "metrics.jsonl", 1));
  for (const char* resume : {"resume=", "resume=latest"}) {
    const auto second = tiny.train("run", {resume});
    INFO(second.err);
    CHECK(second.status == 2);
    CHECK(second.err.find("in use by process") != std::string::npos);
  }
  first.signal(SIGKILL);
  CHECK(first.finish() == 128 + SIGKILL);
  const auto third = tiny.train("run");  // the lock went with its process; the run is still there
  INFO(third.err);
  CHECK(third.status == 2);
  CHECK(third.err.find("resume=latest") != std::string::npos);
}

TEST_CASE("failure: settings that cannot be are wrong use, and make no folder") {
  const TinyRun tiny("settings");
  const auto full = tiny.train("run", {"full=true"});
  INFO(full.err);
  CHECK(full.status == 2);
  CHECK(full.err.find("frozen_copy") != std::string::npos);
  CHECK(tiny.train("run", {"model=/no/such/model"}).status == 2);
  CHECK(tiny.train("run", {"data.pairs=[\"/no/such/pairs.jsonl\"]"}).status == 2);
  CHECK(tiny.train("run", {"resume=/no/such/checkpoint"}).status == 2);
  CHECK_FALSE(fs::exists(tiny.output("run")));
  REQUIRE(tiny.train("run", {"train.steps=4"}).status == 0);
  const auto other = tiny.train("run", {"resume=latest", "lora.rank=5"});
  INFO(other.err);
  CHECK(other.status == 2);
  CHECK(other.err.find("lora.rank: 4 -> 5") != std::string::npos);
}

TEST_CASE("failure: --dry-run prints configuration and forecast, and writes nothing") {
  const TinyRun tiny("dry");
  auto arguments = tiny.arguments("run", {"--dry-run", "--json"});
  const auto result = run_program(arguments);
  INFO(result.err);
  REQUIRE(result.status == 0);
  const Json printed = parse_json(result.out, "stdout");
  CHECK(printed["config"].get<std::string>().find("clip_norm = 0.5") != std::string::npos);
  CHECK(printed["forecast"]["peak_bytes"].get<int64_t>() > printed["forecast"]["weights_bytes"].get<int64_t>());
  CHECK(printed["forecast"]["seconds"].get<double>() > 0);
  CHECK(printed["forecast"]["fits"].get<bool>());
  CHECK_FALSE(fs::exists(tiny.output("run")));
}

TEST_CASE("failure: --dry-run says what the run itself would say, and makes nothing") {
  const TinyRun tiny("dry_wrong");
  write_text(tiny.folder / "empty.jsonl", "");
  write_text(tiny.folder / "missing.jsonl", "{\"prompt\": \"a\", \"chosen\": \"x.png\", \"rejected\": \"y.png\"}\n");
  const auto first_sentence = [](const std::string& text) { return text.substr(0, std::min(text.find(';'), text.find('\n'))); };
  for (const auto& [setting, message] : std::vector<std::pair<std::string, std::string>>{
           {"data.pairs=" + (tiny.folder / "empty.jsonl").string(), "data.pairs: no rows in"},
           {"data.pairs=" + (tiny.folder / "missing.jsonl").string(), "x.png"},
           {"output=" + (tiny.folder / "empty.jsonl/run").string(), "cannot be created (Not a directory)"},
           {"output=" + (tiny.folder / "empty.jsonl").string(), "is a file, expected a folder"},
           {"resume=nothing", "is neither"},
       }) {
    CAPTURE(setting);
    const auto dry = tiny.train("run", {setting, "--dry-run"});
    CHECK_FALSE(fs::exists(tiny.output("run")));
    CHECK(dry.out.empty());
    CHECK(dry.err.find(message) != std::string::npos);
    const auto wet = tiny.train("run", {setting});
    CHECK(dry.status == wet.status);
    CHECK(first_sentence(dry.err) == first_sentence(wet.err));
    CHECK_FALSE(fs::exists(tiny.output("run")));
  }
  const auto unused = tiny.train("run", {"objective.loss=sft", "objective.reference=cached", "--dry-run", "--quiet"});
  INFO(unused.err);
  CHECK(unused.status == 0);
  CHECK(unused.err.find("objective.reference = \"cached\" is not used: the loss 'sft' compares with none") != std::string::npos);
}
