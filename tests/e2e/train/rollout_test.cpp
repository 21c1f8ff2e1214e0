// Training on the embedded base model's own pictures: a run that was killed goes on to the bit, for each kind of lesson.
#include <doctest/doctest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// Two epochs of three updates on six pictures of three prompts, in several passes, a checkpoint after every update.
std::vector<std::string> own_pictures(const fs::path& output, const std::string& loss, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words = {"train",
                                    "model=" + (repository() / "assets/base").string(),
                                    "output=" + output.string(),
                                    "threads=1",
                                    "seed=3",
                                    "objective.loss=" + loss,
                                    "rollout.prompts=[world:5]",
                                    "rollout.prompts_per_epoch=3",
                                    "rollout.pictures=2",
                                    "rollout.steps=4",
                                    "rollout.batch=4",
                                    "rollout.guidance_scale=2.5",
                                    "rollout.updates=3",
                                    "rollout.min_count=2",
                                    "rollout.divert_step=1",
                                    "rollout.candidates=2",
                                    "rollout.threshold=0",
                                    "lora.rank=2",
                                    "optimizer.lr=3e-3",
                                    "train.batch=3",
                                    "train.steps=6",
                                    "train.ema=0.5",
                                    "train.log_every=1",
                                    "train.checkpoint_every=1",
                                    "train.keep_checkpoints=0",
                                    "train.validate_every=0"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Json last_line(const fs::path& run) {
  Json last;
  read_jsonl(run / "metrics.jsonl", [&](const Json& line, int64_t) { last = line; });
  return last;
}

}  // namespace

TEST_CASE("own pictures: ddpo killed by kill -9 within an epoch goes on to the bit") {
  const fs::path folder = fresh_folder("rollout_killed");
  const auto whole = run_program(own_pictures(folder / "whole", "ddpo"));
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  Background program(own_pictures(folder / "parts", "ddpo"), folder / "log");
  REQUIRE(program.wait_for(folder / "parts/metrics.jsonl", 5));  // the second of the second epoch's three updates was made
  program.signal(SIGKILL);
  REQUIRE(program.finish() == 128 + SIGKILL);
  const auto saved = latest_checkpoint(folder / "parts");
  REQUIRE(saved);
  const bool within = saved->state.step % 3 != 0;
  CHECK(saved->tensors.count("rollout.x") == static_cast<size_t>(within));  // complete epochs are not kept
  CHECK(saved->tensors.count("rollout.statistics.rewards") == 1);
  const auto rest = run_program(own_pictures(folder / "parts", "ddpo", {"resume=latest"}));
  INFO(rest.err);
  REQUIRE(rest.status == 0);
  expect_same_run(folder / "parts", folder / "whole", 6);
  const Json line = last_line(folder / "whole");
  for (const char* name : {"reward_mean", "reward_std", "zero_std", "approx_kl", "clipfrac", "loss", "rollouts_per_second"})
    CHECK(line.contains(name));
  CHECK(load_checkpoint(checkpoint_path(folder / "whole", 3)).tensors.count("rollout.x") == 0);
  CHECK(load_checkpoint(checkpoint_path(folder / "whole", 4)).tensors.count("rollout.x") == 1);
}

TEST_CASE("own pictures: every kind of lesson goes on from within an epoch to the bit") {
  const std::vector<std::pair<std::string, std::vector<std::string>>> methods = {
      {"d3po", {"rollout.pairing=all"}},
      {"spo", {}},
      {"flow-grpo", {"rollout.pictures=4"}},
      {"dpo", {"objective.reference=snapshot", "rollout.refresh=1", "rollout.eta=0", "objective.beta=500", "rollout.inner_epochs=1"}}};
  for (const auto& [loss, more] : methods) {
    INFO(loss);
    const fs::path folder = fresh_folder("rollout_" + loss);
    const auto whole = run_program(own_pictures(folder / "whole", loss, more));
    INFO(whole.err);
    REQUIRE(whole.status == 0);
    auto part = more, rest = more;
    part.push_back("train.steps=5");
    rest.push_back("resume=latest");
    REQUIRE(run_program(own_pictures(folder / "parts", loss, part)).status == 0);
    REQUIRE(run_program(own_pictures(folder / "parts", loss, rest)).status == 0);
    expect_same_run(folder / "parts", folder / "whole", 6);
  }
}

TEST_CASE("own pictures: the first pass of an epoch finds the policy that sampled, at ratio 1") {
  const fs::path folder = fresh_folder("rollout_first");
  const auto ran = run_program(own_pictures(folder / "run", "ddpo", {"train.steps=1", "rollout.updates=1"}));
  INFO(ran.err);
  REQUIRE(ran.status == 0);
  CHECK(last_line(folder / "run")["clipfrac"].get<double>() == 0);
  CHECK(last_line(folder / "run")["approx_kl"].get<double>() < 1e-10);  // so log p is recovered to 1e-5
}

TEST_CASE("own pictures: a judge that is not there, and prompts that it cannot judge, are said before a folder is made") {
  const fs::path folder = fresh_folder("rollout_judge");
  const auto nobody = run_program(own_pictures(folder / "run", "ddpo", {"rollout.judge=orakel"}));
  CHECK(nobody.status == 2);
  CHECK(nobody.err.find("orakel") != std::string::npos);
  const auto strange = run_program(own_pictures(folder / "run", "ddpo", {"rollout.prompts=[a fox]"}));
  CHECK(strange.status == 2);
  CHECK(strange.err.find("[oracle]") != std::string::npos);
  CHECK_FALSE(fs::exists(folder / "run"));
  const auto dry = run_program(own_pictures(folder / "run", "ddpo", {"--dry-run"}));
  INFO(dry.err);
  CHECK(dry.status == 0);
  CHECK(dry.out.find("[rollout]") != std::string::npos);
}
