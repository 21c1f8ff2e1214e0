// Single files to diffusers folders and back, against diffusers' own converters (golden/make_single.py).
#include "palate/models/convert/convert.h"

#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/io/json.h"
#include "palate/io/tensor_file.h"
#include "palate/models/convert/recognise.h"
#include "palate/models/registry.h"
#include "palate/text/clip_vocabulary.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

fs::path merges() { return test::repository() / "assets/clip_tokenizer/merges.txt"; }

struct Golden {
  explicit Golden(const std::string& family) : json(read_json(test::golden("single_" + family + ".json"))) {
    int64_t i = 0;
    for (const auto& [name, shape] : json["single"].items()) {
      const auto sizes = shape.get<std::vector<int64_t>>();
      const int64_t count = torch::empty(sizes, torch::kMeta).numel();
      tensors[name] = (torch::arange(count).mul(31).add(7919 * i++).remainder(4093) - 2046).to(torch::kFloat32).reshape(sizes);
    }
  }
  Json json;
  TensorMap tensors;
};

ConvertOptions options_for(const std::string& family) {
  ConvertOptions options;
  options.merges = merges();
  if (family != "sd1") options.tokenizer = test::golden("tokenizer");  // 96 tokens: no model of CLIP's vocabulary
  return options;
}

std::string hash_of(const Tensor& tensor) {
  const Tensor plain = tensor.to(torch::kFloat32).contiguous();
  return Sha256().update({static_cast<const char*>(plain.data_ptr()), plain.nbytes()}).hex().substr(0, 16);
}

std::string file_in(const std::string& component) {
  return component.starts_with("text") ? "model.safetensors" : "diffusion_pytorch_model.safetensors";
}

void expect_component(const fs::path& folder, const std::string& component, const Json& expected) {
  const TensorFile file(folder / component / file_in(component));
  CHECK(file.names().size() == expected.size());
  for (const auto& [name, told] : expected.items()) {
    INFO(component, ": ", name);
    REQUIRE(file.contains(name));
    CHECK(file.shape(name) == told[0].get<std::vector<int64_t>>());
    CHECK(hash_of(file.tensor(name)) == told[1].get<std::string>());
  }
}

void expect_config(const fs::path& folder, const std::string& component, const Json& expected) {
  const Json config = read_json(folder / component / "config.json");
  for (const auto& [key, value] : expected.items()) {
    INFO(component, ": ", key);
    const Json found = config.value(key, Json());
    // One number for all of SD1's levels, as diffusers has it.
    CHECK(found == value);
  }
}

}  // namespace

TEST_CASE("convert: a single file gives diffusers' names, values, shapes and configs, and models that load; and comes back to the bit") {
  for (const std::string family : {"sd1", "sd2", "sdxl"}) {
    CAPTURE(family);
    const Golden golden(family);
    const fs::path folder = test::fresh_folder("convert_" + family);
    save_safetensors(folder / "single.safetensors", golden.tensors);
    const Converted there = convert_to_folder(folder / "single.safetensors", folder / "model", options_for(family));
    CHECK(there.prediction_type == (family == "sd2" ? "v_prediction" : "epsilon"));
    for (const auto& [component, config] : golden.json["configs"].items()) {
      expect_component(folder / "model", component, golden.json[component]);
      expect_config(folder / "model", component, config);
    }
    CHECK(load_denoiser(folder / "model/unet") != nullptr);
    CHECK(load_autoencoder(folder / "model/vae") != nullptr);
    CHECK(load_text_encoder(folder / "model/text_encoder") != nullptr);
    if (family == "sdxl") CHECK(load_text_encoder(folder / "model/text_encoder_2") != nullptr);
    CHECK(fs::exists(folder / "model/tokenizer/vocab.json"));
    CHECK(fs::exists(folder / "model/scheduler/scheduler_config.json"));

    const Converted back = convert_to_single(folder / "model", folder / "back.safetensors", {});
    CHECK(back.prediction_type == there.prediction_type);
    const TensorFile returned(folder / "back.safetensors");
    CHECK(returned.names().size() + there.left_out.size() == golden.tensors.size());
    for (const auto& name : returned.names()) test::expect_equal(name, returned.tensor(name), golden.tensors.at(name));

    const Converted again = convert_to_folder(folder / "back.safetensors", folder / "again", options_for(family));
    CHECK(again.left_out.empty());
    CHECK(again.prediction_type == there.prediction_type);  // which the file's metadata tells
    for (const auto& [component, config] : golden.json["configs"].items()) {
      CHECK(test::read_text(folder / "again" / component / file_in(component)) ==
            test::read_text(folder / "model" / component / file_in(component)));
    }
  }
}

TEST_CASE("convert: averages, schedules and OpenCLIP's unused layer are left out by name; a tensor without a place is refused") {
  Golden golden("sd2");
  const fs::path folder = test::fresh_folder("left_out");
  save_safetensors(folder / "a.safetensors", golden.tensors);
  const auto left = convert_to_folder(folder / "a.safetensors", folder / "a", options_for("sd2")).left_out;
  const auto has = [&](const char* name) { return std::find(left.begin(), left.end(), name) != left.end(); };
  CHECK(left.size() == 2 + 2 + 12);  // model_ema.decay, betas; text_projection, logit_scale; twelve tensors of resblock 23
  CHECK(has("betas"));
  CHECK(has("model_ema.decay"));
  CHECK(has("transformer.resblocks.23.ln_1.weight"));
  golden.tensors["model.diffusion_model.input_blocks.0.9.weight"] = torch::zeros({1});
  save_safetensors(folder / "b.safetensors", golden.tensors);
  CHECK_THROWS_WITH_AS(convert_to_folder(folder / "b.safetensors", folder / "b", options_for("sd2")),
                       doctest::Contains("1 tensors have no place in the U-Net: input_blocks.0.9.weight"), FormatError);
  CHECK(!fs::exists(folder / "b"));
  ConvertOptions no_tokenizer;
  no_tokenizer.merges = merges();
  CHECK_THROWS_WITH_AS(convert_to_folder(folder / "a.safetensors", folder / "c", no_tokenizer),
                       doctest::Contains("this model has 96 tokens where CLIP's has 49408"), UsageError);
  CHECK(!fs::exists(folder / "c"));
  CHECK_THROWS_WITH_AS(convert_to_single(folder / "a", folder / "a.safetensors", {}), doctest::Contains("is there already"), UsageError);
}

TEST_CASE("convert: a part of a model, and a file that is none, are named for what they are") {
  const fs::path folder = test::fresh_folder("parts");
  const auto refusal = [&](const std::string& name) {
    try {
      convert_to_folder(test::golden(name), folder / "out", {});
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK(refusal("unet_sd1/diffusion_pytorch_model.safetensors").find("found U-Net (diffusers)") != std::string::npos);
  CHECK(refusal("vae_sd/diffusion_pytorch_model.safetensors").find("found autoencoder (diffusers)") != std::string::npos);
  CHECK(refusal("pickle/list.pt").find("found tensors of another model") != std::string::npos);
}

TEST_CASE("convert: what the U-Net predicts is told by a flag, the makers' marks, and SD2's step") {
  Golden golden("sdxl");
  const fs::path folder = test::fresh_folder("predicts");
  golden.tensors["v_pred"] = torch::empty({0});
  golden.tensors["ztsnr"] = torch::empty({0});
  save_safetensors(folder / "v.safetensors", golden.tensors);
  CHECK(convert_to_folder(folder / "v.safetensors", folder / "v", options_for("sdxl")).prediction_type == "v_prediction");
  const Json scheduler = read_json(folder / "v/scheduler/scheduler_config.json");
  CHECK(scheduler["prediction_type"] == "v_prediction");
  CHECK(scheduler["rescale_betas_zero_snr"] == true);
  convert_to_single(folder / "v", folder / "back.safetensors", {});
  CHECK(TensorFile(folder / "back.safetensors").contains("v_pred"));
  CHECK(TensorFile(folder / "back.safetensors").contains("ztsnr"));
  auto asked = options_for("sdxl");
  asked.prediction_type = "epsilon";
  CHECK(convert_to_folder(folder / "v.safetensors", folder / "e", asked).prediction_type == "epsilon");
}

TEST_CASE("convert: a model made for inpainting is told by its nine channels") {
  for (const auto& [family, name] :
       {std::pair("sd2", "StableDiffusionInpaintPipeline"), std::pair("sdxl", "StableDiffusionXLInpaintPipeline")}) {
    Golden golden(family);
    const fs::path folder = test::fresh_folder(std::string("inpainting_") + family);
    Tensor& first = golden.tensors.at("model.diffusion_model.input_blocks.0.0.weight");
    first = torch::zeros({first.size(0), 9, 3, 3});
    save_safetensors(folder / "a.safetensors", golden.tensors);
    CHECK(convert_to_folder(folder / "a.safetensors", folder / "a", options_for(family)).prediction_type == "epsilon");
    CHECK(read_json(folder / "a/model_index.json")["_class_name"] == name);
    CHECK(read_json(folder / "a/unet/config.json")["in_channels"] == 9);
    CHECK(read_json(folder / "a/unet/config.json")["sample_size"] == (std::string(family) == "sd2" ? 64 : 128));
  }
}

TEST_CASE("convert: CLIP's tokenizer made from its merges is the one that models ship" * doctest::test_suite("shared") *
          doctest::skip(test::shared_missing({"model_configs"}))) {
  const fs::path folder = test::fresh_folder("tokenizer");
  CHECK(write_clip_tokenizer(folder / "made", merges(), "<|endoftext|>") == 49408);
  const fs::path real = test::shared_data("model_configs");
  CHECK(test::read_text(folder / "made/merges.txt") == test::read_text(real / "sd15/tokenizer/merges.txt"));
  // In any order, and without printing 49408 tokens.
  const bool same = nlohmann::json::parse(test::read_text(folder / "made/vocab.json")) ==
                    nlohmann::json::parse(test::read_text(real / "sd15/tokenizer/vocab.json"));
  CHECK(same);
}

TEST_CASE("recognise: real files" * doctest::test_suite("shared") *
          doctest::skip(test::shared_missing({"safetensors_real", "lora_legacy_pt", "aesthetic_head"}))) {
  const fs::path fragments = test::shared_data("safetensors_real"), lora = test::shared_data("lora_legacy_pt"),
                 head = test::shared_data("aesthetic_head");
  CHECK(architecture_of(TensorFile(fragments / "stable_diffusion_sdxl_ldm_base.safetensors")) ==
        "Stable Diffusion XL, part of a single file: text encoder, text encoder 2");
  CHECK(architecture_of(TensorFile(fragments / "stable_diffusion_ssd_ldm_base.safetensors")) ==
        "Stable Diffusion XL, part of a single file: text encoder, text encoder 2");
  CHECK(architecture_of(TensorFile(head / "sac+logos+ava1-l14-linearMSE.pth")) ==
        "aesthetic head: five linear layers on a CLIP image embedding of 768");
  CHECK(listed_lora_ranks(TensorFile(lora / "color_lora_weight.pt")) == std::vector<int64_t>(128, 4));
  CHECK(listed_lora_ranks(TensorFile(lora / "color_lora_weight.text_encoder.pt")).size() == 92);
}

}  // namespace palate
