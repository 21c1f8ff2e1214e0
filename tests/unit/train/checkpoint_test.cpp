#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/train/checkpoint.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

fs::path write_checkpoint(const fs::path& run, int64_t step) {
  TrainState state;
  state.step = step;
  state.best_step = 3;
  state.best_value = 0.1 + 0.2;  // not a short decimal
  state.sums = {{"loss", 1.0 / 3}, {"rewards/margins", -1e-17}};
  state.summed = 2;
  const fs::path folder = checkpoint_path(run, step);
  save_checkpoint(folder, state, {{"x", torch::arange(5, torch::kFloat) * static_cast<double>(step)}},
                  [](const fs::path& work) { write_file(work / "config.resolved.toml", "steps = 1\n"); });
  return folder;
}

void damage(const fs::path& file) {
  std::string bytes = read_text(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_text(file, bytes);
}

}  // namespace

TEST_CASE("checkpoint: state and tensors come back to the bit") {
  const fs::path run = fresh_folder("bits");
  const Checkpoint back = load_checkpoint(write_checkpoint(run, 7));
  CHECK(back.state.step == 7);
  CHECK(back.state.best_step == 3);
  CHECK(back.state.best_value == 0.1 + 0.2);
  CHECK(back.state.sums.at("loss") == 1.0 / 3);
  CHECK(back.state.sums.at("rewards/margins") == -1e-17);
  CHECK(back.state.summed == 2);
  expect_equal("x", back.tensors.at("x"), torch::arange(5, torch::kFloat) * 7.0);
}

TEST_CASE("checkpoint: one flipped bit, a missing or a longer file is found, and the one before it is taken") {
  const fs::path run = fresh_folder("fault");
  write_checkpoint(run, 10);
  const fs::path second = write_checkpoint(run, 20), third = write_checkpoint(run, 30), fourth = write_checkpoint(run, 40);
  CHECK(checkpoint_steps(run) == std::vector<int64_t>{10, 20, 30, 40});
  CHECK(checkpoint_fault(second).empty());
  damage(second / "state.safetensors");
  fs::remove(third / "config.resolved.toml");
  write_text(fourth / "state.json", read_text(fourth / "state.json") + " ");
  CHECK(checkpoint_fault(second) == "state.safetensors does not agree with its SHA-256");
  CHECK(checkpoint_fault(third) == "config.resolved.toml is missing");
  CHECK(checkpoint_fault(fourth).find("state.json has") == 0);
  CHECK_THROWS_AS(load_checkpoint(second), FormatError);
  const auto latest = latest_checkpoint(run);
  REQUIRE(latest.has_value());
  CHECK(latest->state.step == 10);
}

TEST_CASE("checkpoint: a folder without a manifest, or of a half-written name, is no checkpoint") {
  const fs::path run = fresh_folder("half");
  CHECK_FALSE(latest_checkpoint(run).has_value());
  fs::create_directories(run / "checkpoint-5.tmp-1-0");
  fs::create_directories(run / "checkpoint-x");
  fs::create_directories(run / "checkpoint-99999999999999999999");
  CHECK(checkpoint_steps(run).empty());
  fs::create_directories(run / "checkpoint-5");
  CHECK_FALSE(checkpoint_fault(run / "checkpoint-5").empty());
  CHECK_FALSE(latest_checkpoint(run).has_value());
}

TEST_CASE("checkpoint: only the last ones stay, and later ones make way for a run that goes on from an earlier step") {
  const fs::path run = fresh_folder("prune");
  for (int64_t step : {1, 2, 3, 4, 5}) write_checkpoint(run, step);
  prune_checkpoints(run, 0);
  CHECK(checkpoint_steps(run).size() == 5);
  prune_checkpoints(run, 3);
  CHECK(checkpoint_steps(run) == std::vector<int64_t>{3, 4, 5});
  supersede_after(run, 3);
  CHECK(checkpoint_steps(run) == std::vector<int64_t>{3});
  CHECK(checkpoint_fault(run / "superseded/checkpoint-5").empty());
}

TEST_CASE("checkpoint: what cannot be written leaves nothing behind and the earlier ones whole") {
  const fs::path run = fresh_folder("full");
  const fs::path first = write_checkpoint(run, 1);
  CHECK_THROWS_AS(save_checkpoint(checkpoint_path(run, 2), {}, {}, [](const fs::path&) { fail<IoError>("no space left on device"); }),
                  IoError);
  CHECK(checkpoint_steps(run) == std::vector<int64_t>{1});
  CHECK(std::distance(fs::directory_iterator(run), fs::directory_iterator()) == 1);
  CHECK(checkpoint_fault(first).empty());
}
