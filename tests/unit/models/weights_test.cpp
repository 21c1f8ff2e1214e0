// Weight files that are not what the config says, and the spellings that are accepted.
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "palate/models/registry.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

namespace fs = std::filesystem;
const char* const unet_file = "diffusion_pytorch_model.safetensors";

TensorMap tensors_of(const fs::path& file) {
  const SafetensorsFile source(file);
  TensorMap tensors;
  for (const auto& name : source.names()) tensors[name] = source.tensor(name);
  return tensors;
}

// A scratch copy of a golden model folder with its tensors changed.
fs::path changed(const std::string& model, const char* file, const std::function<void(TensorMap&)>& change) {
  const fs::path folder = test::fresh_folder("changed_" + model);
  fs::copy(test::golden(model) / "config.json", folder / "config.json");
  TensorMap tensors = tensors_of(test::golden(model) / file);
  change(tensors);
  save_safetensors(folder / file, tensors);
  return folder;
}

void rename(TensorMap& tensors, const std::function<std::string(std::string)>& name) {
  TensorMap renamed;
  for (const auto& [key, value] : tensors) renamed[name(key)] = value;
  tensors = renamed;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

void expect_same(torch::nn::Module& a, torch::nn::Module& b) {
  const auto left = a.named_parameters(), right = b.named_parameters();
  for (const auto& item : left) test::expect_equal(item.key(), item.value(), right[item.key()]);
}

}  // namespace

TEST_CASE("weights: missing and surplus tensors are named, five of each at most") {
  const auto folder = changed("unet_sd1", unet_file, [](TensorMap& tensors) {
    tensors.erase("conv_in.bias");
    tensors["conv_inn.bias"] = torch::zeros({8});
    for (int i = 0; i < 6; ++i) tensors["zz." + std::to_string(i)] = torch::zeros({1});
  });
  const char* expected = "1 tensors are missing that config.json asks for: conv_in.bias; and these are there instead: ";
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains(expected), FormatError);
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("and 2 more"), FormatError);  // seven surplus, five named
}

TEST_CASE("weights: a wrong shape is named with both shapes, an integer tensor with its type") {
  auto folder = changed("unet_sd1", unet_file, [](TensorMap& tensors) { tensors["conv_in.bias"] = torch::zeros({9}); });
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("'conv_in.bias': expected shape [8], found [9]"), FormatError);
  folder = changed("unet_sd1", unet_file, [](TensorMap& tensors) { tensors["conv_in.bias"] = torch::zeros({8}, torch::kLong); });
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("'conv_in.bias': expected floating point, found I64"), FormatError);
}

TEST_CASE("weights: shards give the same model; an index that leaves its folder is refused") {
  const fs::path folder = test::fresh_folder("shards");
  fs::copy(test::golden("unet_sd1") / "config.json", folder / "config.json");
  TensorMap parts[2];
  Json map = Json::object();
  int count = 0;
  for (const auto& [name, tensor] : tensors_of(test::golden("unet_sd1") / unet_file)) {
    const int part = count++ % 2;
    parts[part][name] = tensor;
    map[name] = "part" + std::to_string(part) + ".safetensors";
  }
  for (int i = 0; i < 2; ++i) save_safetensors(folder / ("part" + std::to_string(i) + ".safetensors"), parts[i]);
  const fs::path index = folder / (std::string(unet_file) + ".index.json");
  write_json(index, {{"metadata", Json::object()}, {"weight_map", map}});
  const auto whole = load_denoiser(test::golden("unet_sd1")), sharded = load_denoiser(folder);
  expect_same(whole->module(), sharded->module());

  for (const std::string hostile : {"../part0.safetensors", "/etc/passwd", "..", "", "a\\b"}) {
    map["conv_in.bias"] = hostile;
    write_json(index, {{"weight_map", map}});
    CAPTURE(hostile);
    CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("which is no plain file name"), FormatError);
  }
  map["conv_in.bias"] = "part7.safetensors";
  write_json(index, {{"weight_map", map}});
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("part7.safetensors"), IoError);
  for (const Json& broken : {Json::array(), Json{{"weight_map", 3}}, Json{{"weight_map", {{"a", 1}}}}}) {
    write_json(index, broken);
    CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("weight_map"), FormatError);
  }
}

// golden/make_bin.py: the same tiny models as save_pretrained(safe_serialization=False) leaves them.
TEST_CASE("weights: .bin gives the same model, one file or shards, with a variant, and safetensors go before it") {
  const LoadOptions half = {.dtype = torch::kFloat, .device = torch::kCPU, .variant = "half"};
  const auto unet = load_denoiser(test::golden("unet_sd1"));
  expect_same(unet->module(), load_denoiser(test::golden("bin/unet"))->module());
  expect_same(unet->module(), load_denoiser(test::golden("bin/unet"), half)->module());
  const auto text = load_text_encoder(test::golden("clip_legacy"));
  expect_same(text->module(), load_text_encoder(test::golden("bin/text_encoder"))->module());
  const fs::path both = test::fresh_folder("both");
  fs::copy(test::golden("unet_sd1") / "config.json", both / "config.json");
  fs::copy(test::golden("unet_sd1") / unet_file, both / unet_file);
  test::write_text(both / "diffusion_pytorch_model.bin", "not even a pickle");
  expect_same(unet->module(), load_denoiser(both)->module());
}

TEST_CASE("weights: what a folder has instead of the weights is said") {
  const fs::path folder = test::fresh_folder("instead");
  fs::copy(test::golden("unet_sd1") / "config.json", folder / "config.json");
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("expected diffusion_pytorch_model.safetensors, found no weights"),
                       UsageError);
  test::write_text(folder / "diffusion_pytorch_model.bin", "pickle");
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("neither a zip archive nor a pickle"), FormatError);
  CHECK_THROWS_WITH_AS(load_denoiser(folder, {.dtype = torch::kFloat, .device = torch::kCPU, .variant = "fp16"}),
                       doctest::Contains("but diffusion_pytorch_model.bin: choose its variant"), UsageError);
  fs::copy(test::golden("unet_sd1") / unet_file, folder / "diffusion_pytorch_model.fp16.safetensors");
  CHECK(load_denoiser(folder, {.dtype = torch::kFloat, .device = torch::kCPU, .variant = "fp16"}) != nullptr);
  fs::remove(folder / "diffusion_pytorch_model.bin");
  CHECK(load_denoiser(folder) != nullptr);  // the only variant there is
  fs::copy(test::golden("unet_sd1") / unet_file, folder / "diffusion_pytorch_model.bf16.safetensors");
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("but diffusion_pytorch_model.bf16.safetensors: choose its variant"),
                       UsageError);
  CHECK_THROWS_WITH_AS(load_denoiser(folder / "none"), doctest::Contains("none"), Error);
  test::write_text(folder / unet_file, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  CHECK_THROWS_WITH_AS(load_denoiser(folder), doctest::Contains("LFS"), FormatError);
}

TEST_CASE("weights: the old names of the autoencoder's attention load into the same model") {
  const auto folder = changed("vae_sd", unet_file, [](TensorMap& tensors) {
    rename(tensors, [](std::string name) {
      if (name.find(".attentions.") == std::string::npos) return name;
      replace(name, ".to_q.", ".query.");
      replace(name, ".to_k.", ".key.");
      replace(name, ".to_v.", ".value.");
      replace(name, ".to_out.0.", ".proj_attn.");
      return name;
    });
    CHECK(tensors.count("encoder.mid_block.attentions.0.proj_attn.weight") == 1);
  });
  const auto now = load_autoencoder(test::golden("vae_sd")), before = load_autoencoder(folder);
  expect_same(now->module(), before->module());
}

TEST_CASE("weights: text encoders of transformers 4 and 5 load into the same model; position_ids are skipped") {
  const auto folder = changed("clip_legacy", "model.safetensors", [](TensorMap& tensors) {
    rename(tensors, [](std::string name) { return name.substr(std::string("text_model.").size()); });
    tensors["text_model.embeddings.position_ids"] = torch::arange(9).unsqueeze(0);
  });
  const auto four = load_text_encoder(test::golden("clip_legacy")), five = load_text_encoder(folder);
  expect_same(four->module(), five->module());
}

}  // namespace palate
