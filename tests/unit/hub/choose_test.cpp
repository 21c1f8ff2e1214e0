#include "palate/hub/choose.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"

using namespace palate;

namespace {

const char* sd_index =
    R"({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
  "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
  "scheduler": ["diffusers", "PNDMScheduler"],
  "safety_checker": [null, null], "requires_safety_checker": true})";

// The files of stable-diffusion-v1-5 as its repository has them, and shards in both spellings.
const std::vector<std::string> sd_files = {".gitattributes",
                                           "README.md",
                                           "model_index.json",
                                           "v1-inference.yaml",
                                           "v1-5-pruned.safetensors",
                                           "v1-5-pruned.ckpt",
                                           "scheduler/scheduler_config.json",
                                           "tokenizer/vocab.json",
                                           "tokenizer/merges.txt",
                                           "text_encoder/config.json",
                                           "text_encoder/model.safetensors",
                                           "text_encoder/model.fp16.safetensors",
                                           "text_encoder/pytorch_model.bin",
                                           "text_encoder/pytorch_model.fp16.bin",
                                           "unet/config.json",
                                           "unet/diffusion_pytorch_model.safetensors",
                                           "unet/diffusion_pytorch_model.fp16.safetensors",
                                           "unet/diffusion_pytorch_model.non_ema.safetensors",
                                           "unet/diffusion_pytorch_model.bin",
                                           "unet/diffusion_pytorch_model.fp16.bin",
                                           "unet/model.onnx",
                                           "unet/openvino_model.bin",
                                           "unet/flax_model.msgpack",
                                           "vae/config.json",
                                           "vae/diffusion_pytorch_model.bin",
                                           "vae_decoder/model.onnx",
                                           "safety_checker/config.json",
                                           "safety_checker/model.safetensors",
                                           "images/a.png"};

std::vector<std::string> chosen(const std::vector<std::string>& paths, const char* index, const ChooseOptions& options = {},
                                RepoType type = RepoType::model) {
  std::vector<RepoFile> files;
  for (const auto& path : paths) files.push_back({path, 1, ""});
  std::vector<std::string> names;
  for (const auto& file : choose_files(files, index ? Json::parse(index) : Json(), type, options)) names.push_back(file.path);
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("hub choice: of a pipeline, its components with their weights once, safetensors rather than pickles") {
  CHECK(chosen(sd_files, sd_index) == Names{"model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
                                            "text_encoder/model.safetensors", "tokenizer/merges.txt", "tokenizer/vocab.json",
                                            "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
                                            "vae/diffusion_pytorch_model.bin"});
}

TEST_CASE("hub choice: a variant is taken where a folder has it, and no other") {
  const Names half = chosen(sd_files, sd_index, {.variant = "fp16", .include = {}, .exclude = {}});
  CHECK(std::count(half.begin(), half.end(), "unet/diffusion_pytorch_model.fp16.safetensors") == 1);
  CHECK(std::count(half.begin(), half.end(), "text_encoder/model.fp16.safetensors") == 1);
  CHECK(std::count(half.begin(), half.end(), "vae/diffusion_pytorch_model.bin") == 1);  // it has no fp16
  CHECK(half.size() == 10);
  CHECK_THROWS_WITH_AS(chosen(sd_files, sd_index, {.variant = "fp8", .include = {}, .exclude = {}}), doctest::Contains("fp16"), UsageError);
  // Only one variant is there: it is the weights. Of two, one has to be named.
  CHECK(chosen({"model.fp16.safetensors", "config.json"}, nullptr) == Names{"config.json", "model.fp16.safetensors"});
  CHECK_THROWS_WITH_AS(chosen({"model.fp16.safetensors", "model.bf16.safetensors"}, nullptr), doctest::Contains("--variant bf16 or fp16"),
                       UsageError);
}

TEST_CASE("hub choice: shards and their index are of the same variant and kind") {
  const Names files = {"model-00001-of-00002.safetensors",      "model-00002-of-00002.safetensors",
                       "model.safetensors.index.json",          "model.fp16-00001-of-00002.safetensors",
                       "model.fp16-00002-of-00002.safetensors", "model.safetensors.index.fp16.json",
                       "pytorch_model-00001-of-00001.bin",      "pytorch_model.bin.index.json"};
  CHECK(chosen(files, nullptr) ==
        Names{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"});
  CHECK(chosen(files, nullptr, {.variant = "fp16", .include = {}, .exclude = {}}) ==
        Names{"model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors", "model.safetensors.index.fp16.json"});
  const Names old = {"diffusion_pytorch_model-00001-of-00002.fp16.safetensors", "diffusion_pytorch_model.safetensors.index.fp16.json"};
  CHECK(chosen(old, nullptr, {.variant = "fp16", .include = {}, .exclude = {}}) == old);
}

TEST_CASE("hub choice: of another repository, weights once, and neither pictures nor other frameworks") {
  CHECK(chosen({".gitattributes", "README.md", "style.safetensors", "style.pt", "example.png"}, nullptr) ==
        Names{"README.md", "style.safetensors"});
  CHECK(chosen({"old.pt", "config.json"}, nullptr) == Names{"config.json", "old.pt"});
  CHECK(chosen({"config.json", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "vocab.json"}, nullptr) ==
        Names{"config.json", "pytorch_model.bin", "vocab.json"});
}

TEST_CASE("hub choice: globs say what is taken, in place of the rules or less of it") {
  CHECK(chosen(sd_files, sd_index, {.variant = "", .include = {"*.ckpt", "vae/"}, .exclude = {}}) ==
        Names{"v1-5-pruned.ckpt", "vae/config.json", "vae/diffusion_pytorch_model.bin"});
  CHECK(chosen(sd_files, sd_index, {.variant = "", .include = {}, .exclude = {"*/config.json", "t*"}}) ==
        Names{"model_index.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors",
              "vae/diffusion_pytorch_model.bin"});
  CHECK(matches_glob("data/train-00001.parquet", "data/train-*"));
  CHECK(matches_glob("a/b/c.json", "*.json"));
  CHECK_FALSE(matches_glob("a/b/c.json", "b/*"));
  CHECK_THROWS_WITH_AS(chosen(sd_files, sd_index, {.variant = "", .include = {"*.nothing"}, .exclude = {}}), doctest::Contains("*.nothing"),
                       UsageError);
}

TEST_CASE("hub choice: of a data set, all") {
  const Names files = {"data/a.parquet", "data/b.png", "model.bin", "model.safetensors"};
  CHECK(chosen(files, nullptr, {}, RepoType::dataset) == files);
}
