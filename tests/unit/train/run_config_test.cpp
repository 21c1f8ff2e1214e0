#include <doctest/doctest.h>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/objective/presets.h"
#include "palate/train/run_config.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

RunConfig load(const std::string& text, std::vector<std::string> overrides = {}) {
  RunConfig config;
  load_config({.file_name = "run.toml", .file_text = text, .overrides = std::move(overrides)}, [&](Fields& f) { config.visit(f); });
  return config;
}

std::string objective_loss(const Preset& preset) {
  const std::string key = "objective.loss=";
  for (const auto& text : preset.overrides) {
    if (text.starts_with(key)) return text.substr(key.size());
  }
  return "";
}

std::string mistakes(const std::string& text) {
  try {
    load(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

const std::string minimal = "model = \"m\"\noutput = \"o\"\n";

}  // namespace

TEST_CASE("run config: a minimal file is complete, and its printed form gives the same struct") {
  RunConfig config =
      load(minimal + "[data]\npairs = [\"p.jsonl\"]\n", {"train.steps=12", "optimizer.lr=3e-4", "sample.prompts=[\"a\", \"b\"]"});
  CHECK(config.train.steps == 12);
  CHECK(config.optimizer.lr == 3e-4);
  CHECK(config.sample.prompts.size() == 2);
  const std::string text = config_to_toml([&](Fields& f) { config.visit(f); });
  RunConfig again = load(text);
  CHECK(config_difference([&](Fields& f) { config.visit(f); }, [&](Fields& f) { again.visit(f); }).empty());
}

TEST_CASE("run config: rules between fields say what to change, all at once") {
  const std::string found = mistakes(minimal + "full = true\n[train]\nkeep_best = true\nvalidate_every = 0\n[sample]\nevery = 5\n");
  INFO(found);
  CHECK(found.find("frozen_copy") != std::string::npos);
  CHECK(found.find("train.keep_best") != std::string::npos);
  CHECK(found.find("sample.prompts") != std::string::npos);
  const std::string pictures = minimal + "[data]\nimages = [\"i\"]\n";
  CHECK(mistakes(pictures + "[objective]\nloss = \"dpo\"\n").find("data.images has no rejected ones: give data.pairs") !=
        std::string::npos);
  CHECK(mistakes(pictures + "[objective]\nloss = \"kto\"\n").find("needs at least 2 of them, found 1") != std::string::npos);
  CHECK(mistakes(pictures + "[objective]\nloss = \"kto\"\n[train]\nbatch = 2\n").empty());
  CHECK(mistakes(minimal + "[prior]\nfolder = \"f\"\n").find("prior.class_prompt") != std::string::npos);
  CHECK(mistakes("output = \"o\"\n").find("model:") != std::string::npos);
  CHECK(mistakes(minimal + "[train]\nbatch = 0\n").find("batch") != std::string::npos);
  CHECK(mistakes(minimal + "[optimizer]\nlr_schedule = \"cosin\"\n").find("cosine") != std::string::npos);
  CHECK(mistakes(minimal + "[optimizer]\nlr_schedule = \"polynomial\"\nlr = 1e-8\n").find("1e-7") != std::string::npos);
}

TEST_CASE("run config: every file of configs/ loads") {
  for (const auto& entry : std::filesystem::directory_iterator(test::repository() / "configs")) {
    if (entry.path().extension() != ".toml") continue;
    const std::string text = test::read_text(entry.path());
    if (text.find("[objective]") == std::string::npos && text.find("\ntask = ") == std::string::npos) continue;  // a run of another command
    INFO(entry.path().string());
    CHECK(text.rfind("# palate train configs/" + entry.path().filename().string(), 0) == 0);
    RunConfig config;
    CHECK_NOTHROW(load_config(read_config_source(entry.path(), {}), [&](Fields& f) { config.visit(f); }));
  }
}

TEST_CASE("run config: a reward model says what it has no use for, and its preset is whole") {
  const std::string reward = "task = \"reward-model\"\n" + minimal;
  const auto refused = [&](const std::string& more, const std::string& sentence) {
    INFO(more);
    CHECK(mistakes(reward + more).find(sentence) != std::string::npos);
  };
  refused("[data]\nimages = [\"i\"]\n", "data.images: a reward model compares pictures: give data.pairs");
  refused("[data]\nflip = true\n",
          "leave resolution, crop, flip, variants, enable_bucket and "
          "caption_dropout out");
  refused("[train]\ndtype = \"bf16\"\n", "train.dtype: reward models are trained in float32");
  refused("[train]\ngradient_checkpointing = true\n", "train.gradient_checkpointing");
  refused("[sample]\nprompts = [\"a\"]\n", "sample.prompts: a reward model draws no pictures");
  refused("[text]\nlora = true\n", "leave text.lora and text.word out");
  refused("[reward]\nties = \"rao-kupper\"\ntheta = 1\n", "reward.theta is 1");
  refused("[reward]\nties = \"third\"\n", "half");
  CHECK(mistakes("task = \"reward-modell\"\n" + minimal).find("did you mean 'reward-model'?") != std::string::npos);
  const RunConfig config = load(minimal, preset_overrides("reward-model"));
  CHECK(config.task == "reward-model");
  CHECK(config.reward.loss.ties == "half");
  CHECK(config.train.batch * config.train.accumulation == 128);
}

TEST_CASE("run config: every preset loads over a file that says what is the user's own") {
  for (const auto& preset : all_presets()) {
    INFO(preset.name);
    const bool own = is_step_loss(objective_loss(preset)) || preset.name == "online-dpo";
    const std::string pictures = own ? "[rollout]\nprompts = [\"world:8\"]\n" : "";
    CHECK_NOTHROW(load(minimal + pictures, preset.overrides));
  }
}
