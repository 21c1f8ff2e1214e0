// Weighted and long prompts, textual inversion, inpainting and tiling against diffusers: golden/make_prompts.py.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "palate/pipeline/pipeline.h"
#include "palate/text/prompt_weights.h"
#include "tests/support/calm_model.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

const Json& words() {
  static const Json read = Json::parse(test::read_text(test::golden("prompts.json")));
  return read;
}

TensorMap load_all(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const auto& name : file.names()) tensors[name] = file.tensor(name).clone();
  return tensors;
}

}  // namespace

TEST_CASE("prompt weights: brackets and numbers are read as diffusers' community pipeline reads them") {
  for (const auto& line : words()["parsed"]) {
    const auto prompt = line["prompt"].get<std::string>();
    CAPTURE(prompt);
    const auto pieces = parse_prompt_weights(prompt);
    REQUIRE(pieces.size() == line["pieces"].size());
    for (size_t i = 0; i < pieces.size(); ++i) {
      CHECK(pieces[i].text == line["pieces"][i][0].get<std::string>());
      CHECK(pieces[i].weight == doctest::Approx(line["pieces"][i][1].get<double>()).epsilon(1e-12));
    }
  }
  CHECK_THROWS_WITH_AS(parse_prompt_weights("(a:1.2.3)"), doctest::Contains("'1.2.3' is not a number"), UsageError);
}

TEST_CASE("prompt weights and long prompts: text states equal the community pipeline's") {
  const test::GoldenFile golden("prompts.safetensors");
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  pipeline.prompt_encoder().set_style({.weights = true, .chunks = true});
  for (size_t i = 0; i < words()["weighted"].size(); ++i) {
    const auto prompt = words()["weighted"][i].get<std::string>();
    CAPTURE(prompt);
    const int64_t rows = pipeline.prompt_encoder().rows(prompt);
    const std::string key = "weighted." + std::to_string(i);
    REQUIRE(rows * 77 == golden.at(key).size(1));
    golden.expect(key, pipeline.encode_prompts({prompt}, rows)["encoder_hidden_states"]);
    golden.expect(key, pipeline.encode_prompts({"a cat", prompt}, rows)["encoder_hidden_states"].narrow(0, 1, 1));
  }
}

// Without brackets and within one row the style changes nothing.
TEST_CASE("long prompts: what fits into one row is read as ever, with one encoder and with two") {
  for (const char* folder : {"tiny_pipeline", "tiny_pipeline_xl"}) {
    CAPTURE(folder);
    Pipeline plain(test::golden(folder)), styled(test::golden(folder));
    styled.prompt_encoder().set_style({.weights = true, .chunks = true});
    const Condition a = plain.encode_prompts({"two red circles"}), b = styled.encode_prompts({"two red circles"});
    CHECK(a["encoder_hidden_states"].equal(b["encoder_hidden_states"]));
    if (!a["text_embeds"].defined()) continue;
    CHECK(a["text_embeds"].equal(b["text_embeds"]));
    const Condition two = styled.encode_prompts({"two red circles"}, 2);
    test::expect_close("the first row", two["encoder_hidden_states"].narrow(1, 0, 77), a["encoder_hidden_states"], 1e-5);
    test::expect_close("pooled", two["text_embeds"], a["text_embeds"], 1e-5);
  }
}

TEST_CASE("long prompts: a picture does not depend on the length of its neighbours' prompts") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  pipeline.prompt_encoder().set_style({.chunks = true});
  GenerateOptions options;
  options.steps = 3;
  const GenerateRequest short_one{"a cat", 1}, long_one{words()["weighted"][2], 2};
  REQUIRE(pipeline.prompt_encoder().rows(long_one.prompt) == 3);
  const Tensor alone = pipeline.generate_latents({short_one}, options),
               both = pipeline.generate_latents({short_one, long_one, short_one}, options);
  test::expect_close("short", both.narrow(0, 0, 1), alone, 1e-6);
  test::expect_close("short, after", both.narrow(0, 2, 1), alone, 1e-6);
}

TEST_CASE("textual inversion: a prompt with new words gives diffusers' text states") {
  const test::GoldenFile golden("prompts.safetensors");
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  for (const char* name : {"<my-cat>", "<One>"})
    pipeline.prompt_encoder().add_word(name, {{"text_encoder", golden.at(std::string("embedding.") + name)}});
  golden.expect("inverted", pipeline.encode_prompts({words()["inverted"].get<std::string>()})["encoder_hidden_states"]);
  CHECK_THROWS_WITH_AS(pipeline.prompt_encoder().add_word("<one>", {{"text_encoder", torch::zeros({1, 16})}}),
                       doctest::Contains("is a token of this model already"), UsageError);
  CHECK_THROWS_WITH_AS(pipeline.prompt_encoder().add_word("<x>", {{"text_encoder", torch::zeros({1, 5})}}),
                       doctest::Contains("another kind of model"), UsageError);
  CHECK_THROWS_WITH_AS(pipeline.prompt_encoder().add_word("<x>", {{"text_encoder_2", torch::zeros({1, 16})}}),
                       doctest::Contains("no vectors for text_encoder"), UsageError);
}

TEST_CASE("inpainting: latents equal diffusers' for every kind of sampler, from noise and from a noised picture") {
  const test::GoldenFile golden("prompts.safetensors");
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  GenerateOptions options;
  options.steps = 5;
  options.guidance_scale = 5;
  options.init_latents = golden.at("inpaint.clean");
  options.mask = golden.at("inpaint.mask");
  options.starting_noise = golden.at("inpaint.noise");
  for (const char* name : {"ddim", "euler", "heun"}) {
    options.sampler = name;
    for (const double strength : {1.0, 0.7}) {
      CAPTURE(strength);
      options.strength = strength;
      const Tensor made = pipeline.generate_latents({{"a photo of a Cat!", 1}, {"a red circle", 2}}, options);
      golden.expect(std::string("inpaint.") + name + (strength == 1 ? ".1.0" : ".0.7"), made);
      CHECK((made * (1 - options.mask)).equal(options.init_latents.expand_as(made) * (1 - options.mask)));
    }
  }
}

// Its U-Net is tiny_pipeline's but for the first convolution, which takes 4 channels of latents, 1 of the mask and 4 of the masked picture.
TEST_CASE("inpainting with a model made for it: latents equal diffusers', from noise and from a noised picture") {
  const test::GoldenFile golden("prompts.safetensors");
  const std::filesystem::path folder = test::calm_model("tiny_pipeline"), unet = folder / "unet";
  Json config = read_json(unet / "config.json");
  config["in_channels"] = 9;
  test::write_text(unet / "config.json", config.dump());
  TensorMap weights = load_all(unet / "diffusion_pytorch_model.safetensors");
  weights["conv_in.weight"] = golden.at("told.conv_in.weight");
  save_safetensors(unet / "diffusion_pytorch_model.safetensors", weights);

  Pipeline pipeline(folder);
  CHECK(pipeline.takes_mask());
  GenerateOptions options;
  options.steps = 5;
  options.guidance_scale = 5;
  CHECK_THROWS_WITH_AS(pipeline.generate_latents({{"a", 1}}, options),
                       doctest::Contains("made for inpainting, and needs a picture and a mask"), UsageError);
  options.init_latents = golden.at("inpaint.clean");
  options.masked_latents = golden.at("told.masked");
  options.mask = golden.at("inpaint.mask");
  options.starting_noise = golden.at("inpaint.noise");
  for (const char* name : {"ddim", "euler"}) {
    options.sampler = name;
    for (const double strength : {1.0, 0.7}) {
      CAPTURE(strength);
      options.strength = strength;
      golden.expect(std::string("told.") + name + (strength == 1 ? ".1.0" : ".0.7"),
                    pipeline.generate_latents({{"a photo of a Cat!", 1}, {"a red circle", 2}}, options));
    }
  }
}

// What such a model does not see is grey, which is 0 where the autoencoder reads pixels.
TEST_CASE("inpainting: the picture that is given with the mask is grey in it") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  const Tensor
      image = test::load_golden("prompts.safetensors").at("tiled.pixels").to(torch::kUInt8).slice(2, 0, 16).slice(3, 0, 16).contiguous(),
      keep = torch::ones({1, 1, 16, 16});
  keep.slice(2, 4, 12).zero_();
  const Posterior found = pipeline.encode_images(image, keep),
                  wanted = pipeline.autoencoder().encode((image.to(torch::kFloat32) / 127.5 - 1) * keep);
  test::expect_close("mean", found.mean, wanted.mean, 1e-5);
}

TEST_CASE("tiling: decoding and encoding in tiles equal AutoencoderKL.enable_tiling()") {
  const test::GoldenFile golden("prompts.safetensors");
  Pipeline pipeline(test::golden("tiny_pipeline"));
  pipeline.set_tiling(true);
  const Tensor decoded = pipeline.decode(golden.at("tiled.latents") * pipeline.autoencoder().scaling_factor());
  test::expect_close("decoded", decoded, (golden.at("tiled.decoded") / 2 + 0.5).clamp(0, 1), golden.bound("tiled.decoded"));
  const Posterior posterior = pipeline.encode_images(golden.at("tiled.pixels").to(torch::kUInt8));
  golden.expect("tiled.mean", posterior.mean);
  golden.expect("tiled.logvar", posterior.logvar);
}
