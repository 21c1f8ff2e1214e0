// Files: saved and read back, and refused with a sentence.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/io/json.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/adapters/toy_model.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

fs::path saved() {
  const fs::path folder = fresh_folder("lora_saved");
  ToyModel model;
  auto lora = Lora::inject(model, {.rank = 2, .alpha = 3, .targets = {"to_q", "to_out.0", "conv"}}, 4);
  const torch::NoGradGuard no_grad;
  for (const auto& [name, value] : lora.parameters()) value.add_(0.25);
  lora.save(folder, {{"palate.run", "test"}});
  return folder;
}

TensorMap tensors_of(const SafetensorsFile& file) {
  TensorMap all;
  for (const auto& name : file.names()) all[name] = file.tensor(name).clone();
  return all;
}

// Loads a changed copy of the saved file.
void load_changed(const std::function<void(TensorMap&)>& change, const Metadata& metadata = {}) {
  const SafetensorsFile file(saved() / "pytorch_lora_weights.safetensors");
  TensorMap tensors = tensors_of(file);
  change(tensors);
  const fs::path path = fresh_folder("lora_changed") / "x.safetensors";
  save_safetensors(path, tensors, metadata);
  ToyModel model;
  Lora::load(model, path);
}

}  // namespace

TEST_CASE("lora files: both formats give the same model back") {
  const fs::path folder = saved();
  const Tensor x = torch::linspace(-1, 1, 10).view({2, 5});
  ToyModel original;
  auto lora = Lora::inject(original, {.rank = 2, .alpha = 3, .targets = {"to_q", "to_out.0", "conv"}}, 4);
  {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, value] : lora.parameters()) value.add_(0.25);
  }
  for (const char* name : {"pytorch_lora_weights.safetensors", "pytorch_lora_weights.kohya.safetensors"}) {
    ToyModel model;
    auto loaded = Lora::load(model, folder / name);
    CHECK(loaded.layers() == 3);
    expect_equal(name, model.to_q->forward(x), original.to_q->forward(x));
    // Saved again, the file is the same: nothing is lost on the way.
    const fs::path again = fresh_folder("lora_again");
    loaded.save(again);
    const SafetensorsFile first(folder / "pytorch_lora_weights.kohya.safetensors"),
        second(again / "pytorch_lora_weights.kohya.safetensors");
    REQUIRE(first.names() == second.names());
    for (const auto& key : first.names()) expect_equal(key, second.tensor(key), first.tensor(key));
  }
}

TEST_CASE("lora files: metadata says what other programs ask for") {
  const fs::path folder = saved();
  const SafetensorsFile diffusers(folder / "pytorch_lora_weights.safetensors"), kohya(folder / "pytorch_lora_weights.kohya.safetensors");
  const Json peft = parse_json(diffusers.metadata().at("lora_adapter_metadata"), "metadata");
  CHECK(peft["unet.r"] == 2);
  CHECK(peft["unet.lora_alpha"] == 3);
  CHECK(peft["unet.target_modules"] == Json::parse(R"(["to_q", "to_out.0", "conv"])"));
  CHECK(diffusers.metadata().at("format") == "pt");
  CHECK(diffusers.metadata().at("palate.run") == "test");
  CHECK(kohya.metadata().at("ss_network_dim") == "2");
  CHECK(kohya.metadata().at("ss_network_alpha") == "3");
  CHECK(kohya.tensor("lora_unet_blocks_0_to_out_0.alpha").item<double>() == 3);
  CHECK(kohya.shape("lora_unet_blocks_1_conv.lora_down.weight") == std::vector<int64_t>{2, 2, 3, 2});
}

TEST_CASE("lora files: alpha from metadata, with a pattern for one layer; without metadata it is the rank") {
  const Tensor x = torch::linspace(-1, 1, 10).view({2, 5});
  const auto update = [&](const Metadata& metadata) {
    const SafetensorsFile file(saved() / "pytorch_lora_weights.safetensors");
    const fs::path path = fresh_folder("lora_alpha") / "x.safetensors";
    save_safetensors(path, tensors_of(file), metadata);
    ToyModel model;
    const Tensor base = model.to_q->forward(x);
    Lora::load(model, path);
    return model.to_q->forward(x) - base;
  };
  const Tensor plain = update({});  // alpha = rank = 2: scale 1
  expect_close("alpha 3", update({{"lora_adapter_metadata", R"({"unet.r": 2, "unet.lora_alpha": 3})"}}), 1.5 * plain, 1e-5);
  expect_close("pattern", update({{"lora_adapter_metadata", R"({"unet.lora_alpha": 3, "unet.alpha_pattern": {"to_q": 8, "to_v": 1}})"}}),
               4 * plain, 1e-5);
  expect_close("rslora", update({{"lora_adapter_metadata", R"({"unet.lora_alpha": 2, "unet.use_rslora": true})"}}), std::sqrt(2.0) * plain,
               1e-5);
  CHECK_THROWS_AS(update({{"lora_adapter_metadata", "[1, 2"}}), FormatError);
  CHECK_THROWS_AS(update({{"lora_adapter_metadata", "[1, 2]"}}), FormatError);
}

TEST_CASE("lora files: keys without a home are named, five at most") {
  const auto add = [](int count) {
    return [count](TensorMap& tensors) {
      for (int i = 0; i < count; ++i) tensors["unet.blocks." + std::to_string(i + 7) + ".to_q.lora_A.weight"] = torch::ones({2, 5});
    };
  };
  CHECK_THROWS_WITH_AS(load_changed(add(1)), doctest::Contains("1 of 7 keys have no home in this model: unet.blocks.7.to_q.lora_A.weight"),
                       UsageError);
  CHECK_THROWS_WITH_AS(load_changed(add(6)), doctest::Contains(", ..."), UsageError);
}

TEST_CASE("lora files: a missing half, a wrong shape, a wrong type are named") {
  const std::string key = "unet.blocks.0.to_q.lora_A.weight";
  CHECK_THROWS_WITH_AS(load_changed([&](TensorMap& t) { t.erase(key); }),
                       doctest::Contains("the down (A) half for blocks.0.to_q is missing"), UsageError);
  CHECK_THROWS_WITH_AS(load_changed([&](TensorMap& t) {
                         t[key] = torch::ones({2, 4});
                       }),
                       doctest::Contains("has shape [2, 4], but the layer needs [2, 5]"), UsageError);
  CHECK_THROWS_WITH_AS(load_changed([&](TensorMap& t) {
                         t[key] = torch::ones({3, 5});
                       }),
                       doctest::Contains("this LoRA was made for another model"), UsageError);
  CHECK_THROWS_WITH_AS(load_changed([&](TensorMap& t) { t[key] = torch::ones({0, 5}); }), doctest::Contains("rank 0"), UsageError);
  CHECK_THROWS_AS(load_changed([&](TensorMap& t) { t[key] = torch::ones({10}); }), UsageError);
  CHECK_THROWS_WITH_AS(load_changed([&](TensorMap& t) {
                         t[key] = torch::ones({2, 5}, torch::kInt64);
                       }),
                       doctest::Contains("floating-point"), FormatError);
  CHECK_THROWS_WITH_AS(load_changed([&](TensorMap& t) { t["unet.blocks.0.to_q.lora.down.weight"] = t[key]; }),
                       doctest::Contains("name the same half"), UsageError);
  CHECK_THROWS_WITH_AS(load_changed([](TensorMap& t) { t.clear(); }), doctest::Contains("no LoRA tensor"), UsageError);
}

TEST_CASE("lora files: mutated names, shapes and metadata load or are refused, nothing else") {
  const SafetensorsFile file(saved() / "pytorch_lora_weights.kohya.safetensors");
  const TensorMap whole = tensors_of(file);
  const fs::path path = fresh_folder("lora_fuzz") / "x.safetensors";
  Generator random({5, 0, 0, Purpose::test});
  int loaded = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    TensorMap tensors;
    for (const auto& [key, value] : whole) {
      std::string name = key;
      Tensor tensor = value;
      if (random.below(30) == 0) name[static_cast<size_t>(random.below(static_cast<int64_t>(name.size())))] = "._0A"[random.below(4)];
      if (random.below(30) == 0) tensor = tensor.flatten().narrow(0, 0, random.below(tensor.numel() + 1)).clone();
      if (random.below(30) == 0) continue;
      tensors[name] = tensor;
    }
    std::string json = R"({"unet.r": 2, "unet.lora_alpha": 3, "unet.alpha_pattern": {"to_q": 1}})";
    json[static_cast<size_t>(random.below(static_cast<int64_t>(json.size())))] = "\"{}[]:,0e"[random.below(9)];
    save_safetensors(path, tensors, {{"lora_adapter_metadata", random.below(4) == 0 ? json : "{}"}});
    ToyModel model;
    try {
      Lora::load(model, path);
      ++loaded;
    } catch (const Error&) {
      ++refused;
      CHECK(model.to_q->adapters.empty());  // refused before the model was touched
    }
  }
  CHECK(loaded > 20);
  CHECK(refused > 20);
}
