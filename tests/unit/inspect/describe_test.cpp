// What files and folders hold, as palate inspect tells it.
#include "palate/inspect/describe.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("describe: a LoRA's spelling, layers and ranks; shapes where they are asked for") {
  const Json peft = describe(golden("lora_peft.safetensors"), TensorNames::left_out);
  CHECK(peft["kind"] == "lora");
  CHECK(peft["spelling"] == "diffusers or peft");
  CHECK(2 * peft["layers"].get<int64_t>() == peft["tensors"].get<int64_t>());  // a down and an up projection each
  CHECK_FALSE(peft.contains("shapes"));
  int64_t layers = 0;
  for (const auto& [rank, count] : peft["ranks"].items()) layers += count.get<int64_t>();
  CHECK(layers == peft["layers"].get<int64_t>());
  CHECK(describe(golden("lora_peft.safetensors"), TensorNames::listed)["shapes"].size() == peft["tensors"].get<size_t>());
}

TEST_CASE("describe: a model folder and one of its components alone tell the same of its weights") {
  const Json unet = describe(golden("tiny_model/unet"), TensorNames::left_out);
  CHECK(unet["kind"] == "model");
  CHECK(unet["class"] == "UNet2DConditionModel");
  CHECK(unet["components"]["unet"]["parameters"].get<int64_t>() > 0);
  CHECK(unet["components"]["unet"]["dtypes"] == Json{{"F32", unet["components"]["unet"]["parameters"]}});
}

TEST_CASE("describe: a run's checkpoints by step, the last line of its metrics, its files") {
  const fs::path run = fresh_folder("describe_run");
  for (const char* name : {"checkpoint-10", "checkpoint-9", "checkpoint-100"}) fs::create_directories(run / name);
  write_file(run / "config.resolved.toml", "");
  write_file(run / "metrics.jsonl", "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.25}\n");
  const Json told = describe(run, TensorNames::left_out);
  CHECK(told["kind"] == "run");
  CHECK(told["checkpoints"] == Json{"checkpoint-9", "checkpoint-10", "checkpoint-100"});
  CHECK(told["last"]["loss"] == 0.25);
  CHECK(told["files"] == Json{"config.resolved.toml", "metrics.jsonl"});
}

TEST_CASE("describe: what is none of these, or is not there, is refused") {
  const fs::path empty = fresh_folder("describe_nothing");
  CHECK_THROWS_WITH_AS(describe(empty, TensorNames::left_out), doctest::Contains("neither a model folder"), UsageError);
  CHECK_THROWS_WITH_AS(describe(empty / "none", TensorNames::left_out), doctest::Contains("no such folder or file"), UsageError);
}
