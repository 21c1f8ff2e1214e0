#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"
#include "palate/pipeline/pipeline.h"
#include "palate/pretrain/base_data.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/pretrain/tiny_base.h"

using namespace palate;
using namespace palate::world;

namespace {

TensorMap weights(const std::filesystem::path& base) {
  const SafetensorsFile file(base / "unet" / "diffusion_pytorch_model.safetensors");
  TensorMap all;
  for (const auto& name : file.names()) all[name] = file.tensor(name).clone();
  return all;
}

}  // namespace

TEST_CASE("pretrain: a model folder that makes pictures, with its numbers; a second run into it is refused") {
  const auto output = test::fresh_folder("pretrain") / "run";
  const auto config = test::tiny_config(output);
  const auto result = pretrain(config, RunStart::fresh);
  CHECK(result.base == output / "base");
  CHECK(result.evaluation.count("single/strict") == 1);
  CHECK(test::read_text(output / "base" / "README.md").find("| two/acc |") != std::string::npos);
  CHECK(test::read_text(output / "denoiser" / "metrics.jsonl").find("\"loss\"") != std::string::npos);
  Pipeline pipeline(result.base);
  GenerateOptions options;
  options.steps = 2;
  CHECK(pipeline.generate({{"a big red circle on a white background", 1}}, options).sizes() == torch::IntArrayRef({1, 3, 32, 32}));
  CHECK(pipeline.schedule().prediction() == Prediction::v);
  CHECK_THROWS_AS(pretrain(config, RunStart::fresh), UsageError);
}

TEST_CASE("pretrain: a run that stops at a checkpoint and goes on ends with the same bits") {
  const auto folder = test::fresh_folder("pretrain_resume");
  auto config = test::tiny_config(folder / "whole");
  config.fit.checkpoint_minutes = 1e-9;  // a checkpoint after every step
  const auto whole = weights(pretrain(config, RunStart::fresh).base);

  config.output = (folder / "halved").string();
  pretrain(config, RunStart::fresh);
  // What a kill after step 5 leaves: no result, no last checkpoint.
  std::filesystem::remove_all(folder / "halved" / "base");
  std::filesystem::remove_all(folder / "halved" / "denoiser" / "checkpoint-6");
  const auto resumed = weights(pretrain(config, RunStart::resume).base);
  REQUIRE(resumed.size() == whole.size());
  for (const auto& [name, value] : whole) test::expect_equal(name, resumed.at(name), value);
}

TEST_CASE("training data: example i is the same whatever was asked for before") {
  ExampleStream all(Odds(), 5, {}), late(Odds(), 5, {});
  const Tensor pictures = all.get(0, 600).pictures;
  CHECK(pictures.sizes() == torch::IntArrayRef({600, 3, 32, 32}));
  CHECK(late.get(500, 30).pictures.equal(pictures.narrow(0, 500, 30)));  // across the edge of a chunk
  CHECK(all.get(3, 2).pictures.equal(pictures.narrow(0, 3, 2)));         // backwards
}
