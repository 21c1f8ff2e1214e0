#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/pipeline/model_folder.h"
#include "palate/pipeline/pipeline.h"
#include "palate/pipeline/pipeline_class.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

fs::path copy_of_model(const std::string& name) {
  const fs::path folder = test::fresh_folder(name);
  fs::copy(test::golden("tiny_pipeline"), folder, fs::copy_options::recursive);
  return folder;
}

GenerateOptions quick() {
  GenerateOptions options;
  options.steps = 2;
  options.guidance_scale = 3;
  options.sampler = "ddpm";
  options.seed = 7;
  return options;
}

}  // namespace

TEST_CASE("pipeline: a picture depends on its prompt, its id and the seed, and not on its neighbours") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  const std::vector<GenerateRequest> requests = {{"a cat", 1}, {"a dog", 2}, {"a cat", 3}};
  GenerateOptions options = quick();
  options.batch = 3;
  const Tensor together = pipeline.generate_latents(requests, options);
  options.batch = 1;
  test::expect_close("batch of one", pipeline.generate_latents(requests, options), together, 1e-4);
  test::expect_close("alone", pipeline.generate_latents({requests[2]}, options), together.narrow(0, 2, 1), 1e-4);
  CHECK(test::relative_error(together[0], together[2]) > 0.1);  // another id
  options.seed = 8;
  CHECK(test::relative_error(pipeline.generate_latents({requests[0]}, options), together.narrow(0, 0, 1)) > 0.1);
}

TEST_CASE("pipeline: starting noise is keyed by seed and id, at any size") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  GenerateOptions options = quick();
  const Tensor noise = pipeline.starting_noise({"ignored", 5}, options);
  CHECK(noise.sizes() == torch::IntArrayRef({1, 4, 8, 8}));
  test::expect_equal("the key", noise, Generator({.seed = 7, .sample = 5, .purpose = Purpose::latents}).normal({1, 4, 8, 8}));
  options.height = 32;
  CHECK(pipeline.starting_noise({"", 5}, options).sizes() == torch::IntArrayRef({1, 4, 16, 8}));
  options.height = 33;
  CHECK_THROWS_AS(pipeline.starting_noise({"", 5}, options), UsageError);
}

TEST_CASE("pipeline: pictures are uint8 in the order of the requests") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  const std::vector<GenerateRequest> requests = {{"a cat", 1}, {"a dog", 2}};
  GenerateOptions options = quick();
  options.batch = 1;
  const Tensor pictures = pipeline.generate(requests, options);
  CHECK((pictures.scalar_type() == torch::kUInt8));
  CHECK(pictures.sizes() == torch::IntArrayRef({2, 3, 16, 16}));
  const Tensor decoded = pipeline.decode(pipeline.generate_latents(requests, options));
  CHECK((pictures.to(torch::kFloat32) / 255 - decoded).abs().max().item<float>() <= 0.5f / 255 + 1e-4f);
}

TEST_CASE("pipeline: latents scale after the encoders are released, and without noise are the mean") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  const Posterior posterior = pipeline.encode_images(torch::full({1, 3, 16, 16}, 100, torch::kUInt8));
  pipeline.release_encoders();
  test::expect_close("mean", pipeline.to_latents(posterior, {}), posterior.mean * 0.6, 1e-7);
  test::expect_close("one deviation", pipeline.to_latents(posterior, torch::ones_like(posterior.mean)),
                     (posterior.mean + (posterior.logvar / 2).exp()) * 0.6, 1e-6);
  CHECK_THROWS_AS(pipeline.encode_images(torch::zeros({1, 3, 15, 16}, torch::kUInt8)), UsageError);
}

TEST_CASE("pipeline: text states come in the dtype of the options") {
  Pipeline pipeline(test::golden("tiny_pipeline"), {.dtype = torch::kBFloat16, .variant = ""});
  CHECK((pipeline.encode_prompts({"a cat"})["encoder_hidden_states"].scalar_type() == torch::kBFloat16));
}

TEST_CASE("pipeline: the hash of a component changes with its weights and its config, and with nothing else") {
  const fs::path folder = copy_of_model("hash");
  const auto hash = [&] { return component_hash(folder / "unet"); };
  const std::string before = hash();
  CHECK(before == Pipeline(folder).weights_hash("unet"));
  test::write_text(folder / "unet" / "README.md", "x");
  CHECK(hash() == before);
  const std::string config = test::read_text(folder / "unet" / "config.json");
  test::write_text(folder / "unet" / "config.json", config + " ");
  CHECK(hash() != before);
}

TEST_CASE("pipeline: the latents' size is told from the config as the U-Net itself reads it: a number, a list of two, null or nothing") {
  const fs::path folder = copy_of_model("sizes");
  const Json config = Json::parse(test::read_text(folder / "unet" / "config.json"));
  for (const auto& [written, size] : std::vector<std::pair<Json, int64_t>>{{8, 8}, {Json::array({12, 8}), 12}, {nullptr, 64}}) {
    Json changed = config;
    changed["sample_size"] = written;
    test::write_text(folder / "unet" / "config.json", changed.dump());
    Pipeline pipeline(folder);
    CHECK(pipeline.sample_size() == size);
    CHECK(pipeline.denoiser().sample_size() == size);
  }
  Json changed = config;
  changed["sample_size"] = Json::array();
  test::write_text(folder / "unet" / "config.json", changed.dump());
  CHECK_THROWS_WITH_AS(Pipeline(folder).sample_size(), doctest::Contains("sample_size should be"), FormatError);
}

TEST_CASE("pipeline: the model folder says what its denoiser is called") {
  const fs::path folder = copy_of_model("renamed");
  Pipeline before(test::golden("tiny_pipeline"));
  CHECK(before.denoiser_component() == "unet");
  CHECK(before.denoiser_folder() == test::golden("tiny_pipeline") / "unet");
  fs::rename(folder / "unet", folder / "transformer");
  Json index = Json::parse(test::read_text(folder / "model_index.json"));
  index["transformer"] = index["unet"];
  index.erase("unet");
  test::write_text(folder / "model_index.json", index.dump());
  Pipeline pipeline(folder);
  CHECK(pipeline.denoiser_component() == "transformer");
  CHECK(pipeline.denoiser_config() == before.denoiser_config());
  CHECK(pipeline.weights_hash("transformer") == before.weights_hash("unet"));
  CHECK(pipeline.denoiser().latent_channels() == pipeline.latent_channels());
}

TEST_CASE("pipeline: the scheduler's class says of which kind the noise is") {
  const fs::path folder = copy_of_model("flow");
  Pipeline table(folder);
  CHECK(&table.noise_process() == &table.schedule());
  test::write_text(folder / "scheduler" / "scheduler_config.json", R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})");
  Pipeline flow(folder);
  CHECK((flow.noise_process().prediction() == Prediction::flow));
  CHECK_THROWS_WITH_AS(flow.schedule(), doctest::Contains("rectified flow"), UsageError);
}

TEST_CASE("pipeline: what is not a usable model folder is refused in one sentence") {
  CHECK_THROWS_WITH_AS(Pipeline(test::fresh_folder("none") / "missing"), doctest::Contains("no such folder"), UsageError);
  CHECK_THROWS_WITH_AS(Pipeline(test::fresh_folder("empty")), doctest::Contains("model_index.json"), UsageError);
  const fs::path folder = copy_of_model("broken");
  fs::remove_all(folder / "vae");
  CHECK_THROWS_WITH_AS(Pipeline(folder).autoencoder(), doctest::Contains("vae"), UsageError);
  test::write_text(folder / "model_index.json",
                   R"({"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "PNDMScheduler"], "unet": [null, null]})");
  CHECK_THROWS_WITH_AS(Pipeline(folder).denoiser(), doctest::Contains("has no denoising network: expected unet or transformer"),
                       UsageError);
  test::write_text(folder / "model_index.json", "{}");
  CHECK_THROWS_WITH_AS(Pipeline{folder}, doctest::Contains("_class_name"), FormatError);

  const fs::path two = copy_of_model("two_encoders");
  Json index = Json::parse(test::read_text(two / "model_index.json"));
  index["_class_name"] = "StableDiffusionXLPipeline";
  test::write_text(two / "model_index.json", index.dump());
  CHECK_THROWS_WITH_AS(Pipeline(two).encode_prompts({"x"}),
                       doctest::Contains("this StableDiffusionXLPipeline has no text_encoder_2 (its model_index.json names"), UsageError);
  index["text_encoder_2"] = {"transformers", "CLIPTextModelWithProjection"};
  test::write_text(two / "model_index.json", index.dump());
  CHECK_THROWS_WITH_AS(Pipeline(two).encode_prompts({"x"}),
                       doctest::Contains("text_encoder_2: model_index.json names this folder, but it is not there"), UsageError);
}

TEST_CASE(
    "pipeline: the class that model_index.json names says what the model needs; one that is not known is refused with those that are") {
  const fs::path folder = copy_of_model("classes");
  Json index = Json::parse(test::read_text(folder / "model_index.json"));
  const auto opened = [&](const std::string& name) {
    index["_class_name"] = name;
    test::write_text(folder / "model_index.json", index.dump());
    return std::make_unique<Pipeline>(folder);
  };
  for (const auto& name : pipeline_names()) {
    CAPTURE(name);
    CHECK(opened(name)->prompt_encoder().present().size() == (name.starts_with("StableDiffusionXL") ? 2 : 1));
  }
  CHECK_FALSE(opened("StableDiffusionInpaintPipeline")->encode_prompts({"a cat"})["text_embeds"].defined());
  CHECK_THROWS_WITH_AS(opened("FluxPipeline"),
                       doctest::Contains("the pipeline 'FluxPipeline' of its model_index.json is not supported: expected "
                                         "StableDiffusionPipeline, "),
                       UsageError);
}

TEST_CASE("pipeline: wrong requests are refused") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  GenerateOptions options = quick();
  CHECK_THROWS_AS(pipeline.generate_latents({}, options), UsageError);
  options.steps = 0;
  CHECK_THROWS_AS(pipeline.generate_latents({{"x", 1}}, options), UsageError);
  options = quick();
  options.starting_noise = torch::zeros({2, 4, 8, 8});
  CHECK_THROWS_WITH_AS(pipeline.generate_latents({{"x", 1}}, options), doctest::Contains("starting noise"), UsageError);
}
