// The forecast of memory beside what runs really take, on a U-Net that is large enough for its numbers to outweigh the program's own.
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/models/registry.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// The tiny model with a U-Net of 44 million random numbers.
fs::path larger_model(const fs::path& folder) {
  fs::copy(repository() / "tests/golden/tiny_pipeline", folder, fs::copy_options::recursive);
  Json config = read_json(folder / "unet/config.json");
  config["block_out_channels"] = {192, 384};
  config["layers_per_block"] = 2;
  fs::remove_all(folder / "unet");
  save_denoiser(*make_denoiser(config, 1), folder / "unet");
  return folder;
}

}  // namespace

TEST_CASE("forecast: the peak of a run is within a fifth of what was told") {
  const TinyRun tiny("forecast");
  const std::string model = larger_model(tiny.folder / "model").string();
  for (const std::vector<std::string>& settings : std::vector<std::vector<std::string>>{
           {"train.batch=8"},
           {"train.batch=8", "train.gradient_checkpointing=true"},
           {"train.batch=8", "objective.error_space=perceptual"},
           {"train.batch=2", "full=true", "objective.reference=frozen_copy"},
           {"train.batch=2", "full=true", "objective.reference=frozen_copy", "train.dtype=bf16", "train.ema=0.9"},
       }) {
    std::vector<std::string> all = {"model=" + model,    "data.resolution=64", "train.steps=2",           "train.accumulation=1",
                                    "train.ema=0",       "lora.dropout=0",     "train.validate_every=0",  "train.keep_best=false",
                                    "train.log_every=1", "data.held_out=0",    "train.checkpoint_every=0"};
    std::string name;
    for (const auto& setting : settings) {
      std::erase_if(all, [&](const std::string& other) { return other.starts_with(setting.substr(0, setting.find('=') + 1)); });
      all.push_back(setting);
      name += setting + " ";
    }
    CAPTURE(name);
    auto dry = tiny.arguments(name, all);
    dry.insert(dry.end(), {"--dry-run", "--json"});
    const auto told = run_program(dry);
    INFO(told.err);
    REQUIRE(told.status == 0);
    const auto peak = Json::parse(told.out)["forecast"]["peak_bytes"].get<double>();
    const auto run = tiny.train(name, all);
    INFO(run.err);
    REQUIRE(run.status == 0);
    const double measured = static_cast<double>(run.peak_bytes);
    MESSAGE(name, ": forecast ", peak / 1e6, " MB, measured ", measured / 1e6, " MB");
    CHECK(measured < 1.2 * peak);
    CHECK(measured > 0.8 * peak);
  }
}
