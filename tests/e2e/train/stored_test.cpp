// Checkpoints that an earlier version of the program wrote are gone on with, and lead where they led then.
//
// tests/golden/checkpoint_align and checkpoint_pretrain were made by the program of commit 2314407, the last before runs of all kinds got
// one loop, with the skipped case below:
//   PALATE_BINARY=OLD/palate build/e2e_train --test-case='stored: make*' --no-skip
#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "palate/io/safetensors.h"
#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const fs::path align = repository() / "tests/golden/checkpoint_align", pretrain = repository() / "tests/golden/checkpoint_pretrain";

// Bits depend on the processor; what is compared has been through some more steps of a small rate.
constexpr double bound = 1e-3;        // of a tensor's largest value
constexpr double share_of_way = 0.1;  // of the longest way that those steps went: of a run that makes none it is 1

const std::vector<std::string> align_settings = {"train.steps=8", "train.log_every=1", "train.validate_every=4", "lora.rank=2",
                                                 "lora.targets=[\"to_q\"]"};

std::vector<std::string> pretrain_command(const fs::path& output) {
  return {"pretrain",
          (repository() / "configs/pretrain_base.toml").string(),
          "output=" + output.string(),
          "autoencoder.block_out_channels=[4,8]",
          "autoencoder.norm_num_groups=2",
          "autoencoder.fit.steps=40",
          "autoencoder.fit.batch=48",
          "autoencoder.fit.checkpoint_minutes=0.01",
          "autoencoder.fit.lr=1e-4",
          "fit.lr=1e-4",
          "unet.block_out_channels=[4,8]",
          "unet.attention=[0,1]",
          "unet.norm_num_groups=2",
          "text.width=8",
          "text.layers=1",
          "text.heads=2",
          "fit.steps=40",
          "fit.batch=48",
          "fit.checkpoint_minutes=0.01",
          "evaluation.single=2",
          "evaluation.two=2",
          "evaluation.steps=2",
          "evaluation.pictures=1",
          "evaluation.reconstructions=2"};
}

// The trained values of a checkpoint, whatever their prefix.
TensorMap trained(const fs::path& checkpoint) {
  TensorMap values;
  for (const auto& [name, tensor] : load_checkpoint(checkpoint).tensors) {
    for (const std::string prefix : {"trained.", "value."}) {
      if (name.starts_with(prefix)) values[name.substr(prefix.size())] = tensor.clone();
    }
  }
  return values;
}

void keep_values(const fs::path& checkpoint, const fs::path& file) { save_safetensors(file, trained(checkpoint)); }

double distance(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

// The moments of the autoencoder's 3x3 convolutions were stored in the order that their weights had in memory, channels last, under
// shapes that say another: whoever goes on from there goes another way with these weights.
bool has_lost_moments(const std::string& name, const Tensor& value) {
  return (name.starts_with("encoder.") || name.starts_with("decoder.")) && value.dim() == 4 && value.size(2) > 1;
}

// The values of `checkpoint`, where the steps after `start` once led to those of `file`.
void expect_values(const fs::path& checkpoint, const fs::path& start, const fs::path& file) {
  const SafetensorsFile expected(file);
  const TensorMap got = trained(checkpoint), before = trained(start);
  REQUIRE(got.size() == expected.names().size());
  double way = 0;
  for (const auto& name : expected.names()) way = std::max(way, distance(before.at(name), expected.tensor(name)));
  for (const auto& name : expected.names()) {
    const Tensor value = expected.tensor(name);
    expect_close(name, got.at(name), value, bound);
    if (has_lost_moments(name, value)) continue;
    CAPTURE(name);
    const double rounding = std::numeric_limits<float>::epsilon() * value.abs().max().item<double>();
    CHECK(distance(got.at(name), value) <= share_of_way * way + rounding);
  }
}

}  // namespace

TEST_CASE("stored: make the checkpoints with the program that is there" * doctest::skip()) {
  const TinyRun tiny("stored_make");
  auto settings = align_settings;
  settings.insert(settings.end(), {"train.keep_best=false", "train.keep_checkpoints=0"});
  const auto run = tiny.train("run", settings);
  INFO(run.err);
  REQUIRE(run.status == 0);
  fs::remove_all(align);
  fs::create_directories(align);
  fs::copy(tiny.output("run") / "checkpoint-4", align / "checkpoint-4", fs::copy_options::recursive);
  keep_values(tiny.output("run") / "checkpoint-8", align / "step-8.safetensors");

  const fs::path output = fresh_folder("stored_make_pretrain") / "run";
  const auto made = run_program(pretrain_command(output));
  INFO(made.err);
  REQUIRE(made.status == 0);
  fs::remove_all(pretrain);
  for (const char* stage : {"autoencoder", "denoiser"}) {
    fs::create_directories(pretrain / stage);
    const auto steps = checkpoint_steps(output / stage);  // the last but one stood there when the clock said so
    REQUIRE(steps.size() == 2);
    fs::copy(checkpoint_path(output / stage, steps[0]), checkpoint_path(pretrain / stage, steps[0]), fs::copy_options::recursive);
    keep_values(checkpoint_path(output / stage, steps[1]), pretrain / stage / "last.safetensors");
  }
}

TEST_CASE("stored: an alignment goes on from a checkpoint of the earlier format") {
  const TinyRun tiny("stored_align");
  auto settings = align_settings;
  settings.insert(settings.end(), {"train.keep_best=false", "resume=" + (align / "checkpoint-4").string()});
  const auto run = tiny.train("run", settings);
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.err.find("going on after step 4") != std::string::npos);
  expect_values(tiny.output("run") / "checkpoint-8", align / "checkpoint-4", align / "step-8.safetensors");
}

TEST_CASE("pretrain: a model to begin with that is not there is said before anything is made") {
  const fs::path output = fresh_folder("pretrain_refused") / "run", none = output / "none";
  for (const char* key : {"init", "autoencoder.folder"}) {
    const auto result = run_program(
        {"pretrain", (repository() / "configs/pretrain_base.toml").string(), "output=" + output.string(), key + ("=" + none.string())});
    CHECK(result.status == 2);
    CHECK(result.err.find(std::string(key) + ": " + none.string() + ": there is no such folder") != std::string::npos);
    CHECK_FALSE(fs::exists(output));
  }
}

TEST_CASE("stored: both stages of a pretraining go on from checkpoints of the earlier format") {
  const fs::path output = fresh_folder("stored_pretrain") / "run";
  for (const char* stage : {"autoencoder", "denoiser"}) {
    fs::create_directories(output / stage);
    const int64_t step = checkpoint_steps(pretrain / stage).at(0);
    fs::copy(checkpoint_path(pretrain / stage, step), checkpoint_path(output / stage, step), fs::copy_options::recursive);
  }
  auto command = pretrain_command(output);
  command.push_back("--resume");
  const auto run = run_program(command);
  INFO(run.err);
  REQUIRE(run.status == 0);
  for (const char* stage : {"autoencoder", "denoiser"}) {
    CAPTURE(stage);
    const int64_t step = checkpoint_steps(pretrain / stage).at(0);
    expect_values(output / stage / "checkpoint-40", checkpoint_path(pretrain / stage, step), pretrain / stage / "last.safetensors");
  }
}
