// Against diffusers' StableDiffusionPipeline on a tiny random model (golden/make_pipeline.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/pipeline/pipeline.h"
#include "tests/support/calm_model.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

const Json& arguments() {
  static const Json read = Json::parse(test::read_text(test::golden("pipeline.json")));
  return read;
}

}  // namespace

TEST_CASE("pipeline: text states equal diffusers', also of a prompt that is cut and of an empty one") {
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  const test::GoldenFile golden("pipeline.safetensors");
  const Condition states = pipeline.encode_prompts(arguments()["prompts"].get<std::vector<std::string>>());
  golden.expect("text", states["encoder_hidden_states"]);
}

TEST_CASE("pipeline: a picture's posterior, latents and decoding equal diffusers'") {
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  const test::GoldenFile golden("pipeline.safetensors");
  const Posterior posterior = pipeline.encode_images(golden.at("pixels"));
  golden.expect("mean", posterior.mean);
  golden.expect("logvar", posterior.logvar);
  golden.expect("encoded", pipeline.to_latents(posterior, golden.at("posterior_noise")));
  golden.expect("ddim.images", pipeline.decode(golden.at("ddim.latents")));
}

TEST_CASE("pipeline: text to latents in five guided steps equals StableDiffusionPipeline for every sampler") {
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  const test::GoldenFile golden("pipeline.safetensors");
  const std::vector<std::string> prompts = {arguments()["prompts"][0], arguments()["prompts"][1]};
  const Condition positive = pipeline.encode_prompts(prompts);
  const std::string negative = arguments()["negative"];
  for (const auto& run : arguments()["runs"]) {
    const std::string name = run["sampler"];
    Json config = pipeline.scheduler_config();  // the folder's PNDM; the others as the golden script makes them
    if (name == "euler") config["timestep_spacing"] = "leading";
    if (name == "ddim" || name == "ddpm") config["clip_sample"] = false;
    const auto sampler = make_sampler(name, config);
    sampler->set_timesteps(run["steps"].get<int64_t>());
    SampleOptions options;
    options.guidance_scale = run["guidance_scale"].get<double>();
    options.guidance_rescale = run["guidance_rescale"].get<double>();
    options.noise = [&](int64_t sample, int64_t step) { return golden.at("step_noise")[step].narrow(0, sample, 1); };
    const Tensor latents =
        sample_latents(pipeline.denoiser(), *sampler, golden.at("start"), positive, pipeline.encode_prompts({negative, negative}), options);
    golden.expect(name + ".latents", latents);
    golden.expect(name + ".images", pipeline.decode(latents));
  }
}

TEST_CASE("pipeline: generate_latents from given noise equals diffusers, for any batch size") {
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  const test::GoldenFile golden("pipeline.safetensors");
  GenerateOptions options;
  options.steps = 5;
  options.guidance_scale = 5;
  options.negative = arguments()["negative"];
  options.starting_noise = golden.at("start");
  for (const int64_t batch : {1, 2}) {
    options.batch = batch;
    const Tensor latents = pipeline.generate_latents({{arguments()["prompts"][0], 1}, {arguments()["prompts"][1], 2}}, options);
    golden.expect("pndm.latents", latents);
  }
}
