// DPO as the program trains it: against diffusers, transformers and peft step by step, and that it learns what it is shown.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/io/safetensors.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

std::vector<Json> metrics(const fs::path& run) {
  std::vector<Json> lines;
  for (const auto& line : timeless_metrics(run)) lines.push_back(Json::parse(line));
  return lines;
}

// Ten steps on tests/golden/dpo_steps beside what `file` says of them, with a bound for losses and norms, relative, and one for weights.
void ten_steps(const std::string& name, const std::string& file, const std::vector<std::string>& settings, double of_losses,
               double of_weights) {
  const fs::path folder = fresh_folder(name), run = folder / "run";
  std::vector<std::string> arguments = {"train",
                                        "model=" + golden("tiny_pipeline").string(),
                                        "output=" + run.string(),
                                        "data.pairs=[\"" + golden("dpo_steps/pairs.jsonl").string() + "\"]",
                                        "data.held_out=0",
                                        "data.resolution=16",
                                        "lora.rank=4",
                                        "optimizer.lr=1e-3",
                                        "train.steps=10",
                                        "train.batch=3",
                                        "train.log_every=1",
                                        "train.validate_every=0",
                                        "train.checkpoint_every=0",
                                        "seed=3",
                                        "threads=1"};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  const auto result = run_program(arguments);
  INFO(result.err);
  REQUIRE(result.status == 0);
  const auto expected = load_golden("dpo_steps/" + file);
  const auto lines = metrics(run);
  REQUIRE(lines.size() == 10);
  for (int64_t step = 0; step < 10; ++step) {
    CAPTURE(step);
    const Json& line = lines[static_cast<size_t>(step)];
    CHECK(line["loss"].get<double>() == doctest::Approx(expected.at("losses")[step].item<double>()).epsilon(of_losses));
    CHECK(line["grad_norm"].get<double>() == doctest::Approx(expected.at("norms")[step].item<double>()).epsilon(of_losses));
    CHECK(line["implicit_acc"].get<double>() == doctest::Approx(expected.at("implicit_acc")[step].item<double>()));
  }
  const SafetensorsFile lora(run / "pytorch_lora_weights.safetensors");
  size_t compared = 0;
  for (const auto& key : lora.names()) {
    const auto same = expected.find(key);
    REQUIRE_MESSAGE(same != expected.end(), key);
    INFO(key);
    CHECK((lora.tensor(key) - same->second).abs().max().item<double>() < of_weights);
    ++compared;
  }
  CHECK(compared == expected.size() - 3);
}

}  // namespace

TEST_CASE("dpo: ten steps give the losses, gradient norms and LoRA that diffusers, transformers and peft give") {
  // golden/make_dpo_steps.py has the same settings, and computes in float64. Float32 moves a loss by up to 2.5e-5 of it (beta / 2 times
  // errors that are 1e-7 apart), a gradient norm by 2e-5, and single weights by 5e-6, of ten steps of 1e-3; the bounds leave room for other
  // machines.
  ten_steps("dpo_steps", "expected.safetensors", {"objective.beta=500"}, 1e-4, 5e-5);
}

TEST_CASE("dpo: ten steps in the perceptual space, likewise") {
  // golden/make_ncp_steps.py. What is compared differs by a thousandth of the features, so float32's last digits count for more; and Adam
  // makes whole steps of gradients that are rounding alone, as some of the middle block's to_q have here.
  ten_steps("ncp_steps", "expected_ncp.safetensors", {"objective.error_space=perceptual", "objective.tap=mid", "objective.beta=2e6"}, 1e-3,
            4e-3);
}

TEST_CASE("dpo: it learns which pictures are preferred, on pairs that it never saw too") {
  // Winners are warm and losers are cold: TinyRun's preference. Without training every pair is a tie. On the embedded model: the other
  // tests' network of random weights did not learn this in 60 steps at rates of 5e-3 and 2e-3, in 150 at 2e-3 and 1e-3, or in 100 with a
  // beta of 500, 100 or 20.
  const TinyRun tiny("dpo_learns");
  const std::vector<std::string> settings = {"model=" + (repository() / "assets/base").string(),
                                             "data.resolution=32",
                                             "objective.beta=1000",
                                             "train.steps=60",
                                             "train.batch=7",
                                             "train.accumulation=1",
                                             "train.log_every=20",
                                             "train.ema=0",
                                             "train.validate_every=60",
                                             "train.keep_best=false",
                                             "train.validation_pairs=0",
                                             "train.validation_draws=8",
                                             "train.checkpoint_every=0",
                                             "lora.dropout=0",
                                             "data.caption_dropout=0"};
  const auto with = [&](const char* rate) {
    auto all = settings;
    all.push_back(rate);
    return all;
  };
  const auto still = tiny.train("still", with("optimizer.lr=0")), learned = tiny.train("learned", with("optimizer.lr=2e-3"));
  INFO(learned.err);
  REQUIRE(still.status == 0);
  REQUIRE(learned.status == 0);
  const auto before = metrics(tiny.output("still")), after = metrics(tiny.output("learned"));
  REQUIRE(after.size() == 3);
  CHECK(before[2]["held_out/accuracy"] == 0.5);
  CHECK(before[2]["implicit_acc"] == 0.5);
  CHECK(after[2]["held_out/accuracy"].get<double>() > 0.85);
  CHECK(after[2]["implicit_acc"].get<double>() > 0.75);
  CHECK(after[2]["held_out/margin"].get<double>() > 0);
  CHECK(after[2]["loss"].get<double>() < after[0]["loss"].get<double>());
}
