// Against diffusers' StableDiffusionXLPipeline on a tiny random model (golden/make_pipeline_xl.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/pipeline/pipeline.h"
#include "tests/support/calm_model.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

const Json& xl_arguments() {
  static const Json read = Json::parse(test::read_text(test::golden("pipeline_xl.json")));
  return read;
}

}  // namespace

TEST_CASE("sdxl: text states are both encoders' second to last side by side, and the second's pooled text, as diffusers'") {
  Pipeline pipeline(test::calm_model("tiny_pipeline_xl"));
  const test::GoldenFile golden("pipeline_xl.safetensors");
  const Condition states = pipeline.encode_prompts(xl_arguments()["prompts"].get<std::vector<std::string>>());
  golden.expect("text", states["encoder_hidden_states"]);
  golden.expect("text_embeds", states["text_embeds"]);
}

TEST_CASE("sdxl: no prompt is zeros, and the states of an empty one where the folder says so") {
  Pipeline pipeline(test::calm_model("tiny_pipeline_xl"));
  const Condition nothing = pipeline.encode_nothing(2);
  CHECK(nothing["encoder_hidden_states"].size(0) == 2);
  CHECK(nothing["encoder_hidden_states"].abs().max().item<float>() == 0);
  CHECK(nothing["text_embeds"].abs().max().item<float>() == 0);
  Pipeline sd(test::golden("tiny_pipeline"));
  CHECK(sd.encode_nothing(1)["encoder_hidden_states"].equal(sd.encode_prompts({""})["encoder_hidden_states"]));
}

TEST_CASE("sdxl: text to latents from given noise equals diffusers, without a negative prompt and with one, for any batch size") {
  Pipeline pipeline(test::calm_model("tiny_pipeline_xl"));
  const test::GoldenFile golden("pipeline_xl.safetensors");
  GenerateOptions options;
  options.steps = 4;
  options.guidance_scale = 5;
  options.starting_noise = golden.at("start");
  const std::vector<GenerateRequest> requests = {{xl_arguments()["prompts"][0], 1}, {xl_arguments()["prompts"][1], 2}};
  for (const int64_t batch : {1, 2}) {
    options.batch = batch;
    options.negative = "";
    golden.expect("nothing.latents", pipeline.generate_latents(requests, options));
    options.negative = xl_arguments()["negative"];
    golden.expect("negative.latents", pipeline.generate_latents(requests, options));
  }
}
