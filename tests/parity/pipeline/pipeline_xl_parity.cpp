// Against diffusers' StableDiffusionXLPipeline on a tiny random model (golden/make_pipeline_xl.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/pipeline/pipeline.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

const Json& arguments() {
  static const Json read = Json::parse(test::read_text(test::golden("pipeline_xl.json")));
  return read;
}

}  // namespace

TEST_CASE("sdxl: text states are both encoders' second to last side by side, and the second's pooled text, as diffusers'") {
  Pipeline pipeline(test::golden("tiny_pipeline_xl"));
  const auto golden = test::load_golden("pipeline_xl.safetensors");
  const Condition states = pipeline.encode_prompts(arguments()["prompts"].get<std::vector<std::string>>());
  test::expect_close("text", states["encoder_hidden_states"], golden.at("text"), 1e-5);
  test::expect_close("text_embeds", states["text_embeds"], golden.at("text_embeds"), 1e-5);
}

TEST_CASE("sdxl: no prompt is zeros, and the states of an empty one where the folder says so") {
  Pipeline pipeline(test::golden("tiny_pipeline_xl"));
  const Condition nothing = pipeline.encode_nothing(2);
  CHECK(nothing["encoder_hidden_states"].size(0) == 2);
  CHECK(nothing["encoder_hidden_states"].abs().max().item<float>() == 0);
  CHECK(nothing["text_embeds"].abs().max().item<float>() == 0);
  Pipeline sd(test::golden("tiny_pipeline"));
  CHECK(sd.encode_nothing(1)["encoder_hidden_states"].equal(sd.encode_prompts({""})["encoder_hidden_states"]));
}

TEST_CASE("sdxl: text to latents from given noise equals diffusers, without a negative prompt and with one, for any batch size") {
  Pipeline pipeline(test::golden("tiny_pipeline_xl"));
  const auto golden = test::load_golden("pipeline_xl.safetensors");
  GenerateOptions options;
  options.steps = 4;
  options.guidance_scale = 5;
  options.starting_noise = golden.at("start");
  const std::vector<GenerateRequest> requests = {{arguments()["prompts"][0], 1}, {arguments()["prompts"][1], 2}};
  for (const int64_t batch : {1, 2}) {
    options.batch = batch;
    options.negative = "";
    test::expect_close("nothing", pipeline.generate_latents(requests, options), golden.at("nothing.latents"), 1e-4);
    options.negative = arguments()["negative"];
    test::expect_close("negative", pipeline.generate_latents(requests, options), golden.at("negative.latents"), 1e-4);
  }
}
