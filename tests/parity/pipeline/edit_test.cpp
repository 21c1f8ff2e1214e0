// SDEdit against diffusers' StableDiffusionImg2ImgPipeline (golden/make_edit.py), and reward guidance against its formula.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/pipeline/pipeline.h"
#include "tests/support/calm_model.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

const std::vector<GenerateRequest>& requests() {
  static const Json read = Json::parse(test::read_text(test::golden("pipeline.json")));
  static const std::vector<GenerateRequest> made = {{read["prompts"][0], 1}, {read["prompts"][1], 2}};
  return made;
}

GenerateOptions five_steps() {
  GenerateOptions options;
  options.steps = 5;
  options.guidance_scale = 5;
  return options;
}

}  // namespace

TEST_CASE("sdedit: latents from a picture's equal diffusers' img2img for every kind of sampler and any batch size") {
  Pipeline pipeline(test::calm_model("tiny_pipeline"));
  const test::GoldenFile golden("edit.safetensors");
  GenerateOptions options = five_steps();
  options.init_latents = golden.at("clean");
  options.starting_noise = golden.at("noise");
  options.strength = 0.7;
  for (const char* name : {"ddim", "euler", "heun"}) {
    options.sampler = name;
    for (const int64_t batch : {1, 2}) {
      options.batch = batch;
      golden.expect(std::string(name) + ".latents", pipeline.generate_latents(requests(), options));
    }
  }
  options.strength = 0.1;  // int(5 * 0.1) = 0 steps
  CHECK_THROWS_WITH_AS(pipeline.generate_latents(requests(), options), doctest::Contains("leaves none of 5 steps"), UsageError);
}

TEST_CASE("reward guidance: each step takes e(none) + s (e(base) - e(none)) + w (e_adapted(prompt) - e(base))") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  const auto golden = test::load_golden("edit.safetensors");
  LoraConfig config;
  config.rank = 2;
  config.targets = {"to_q", "to_v"};
  const Lora lora = Lora::inject(pipeline.denoiser().module(), config, 3);
  {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, tensor] : lora.parameters()) Tensor(tensor).fill_(0.3);
  }
  GenerateOptions options = five_steps();
  options.sampler = "ddim";
  options.starting_noise = golden.at("noise");
  options.reward_weight = 3;
  options.base_prompt = "a cat";
  const Tensor found = pipeline.generate_latents(requests(), options);

  const torch::NoGradGuard no_grad;
  const auto sampler = make_sampler("ddim", pipeline.scheduler_config());
  sampler->set_timesteps(5);
  const Condition none = pipeline.encode_prompts({"", ""}), base = pipeline.encode_prompts({"a cat", "a cat"});
  const Condition prompts = pipeline.encode_prompts({requests()[0].prompt, requests()[1].prompt});
  Tensor x = golden.at("noise").clone();
  for (int64_t i = 0; i < 5; ++i) {
    const Tensor t = sampler->timesteps().narrow(0, i, 1).expand({2});
    const Tensor adapted = pipeline.denoiser().predict(x, t, prompts);
    const AdaptersOff off;
    const Tensor e_none = pipeline.denoiser().predict(x, t, none), e_base = pipeline.denoiser().predict(x, t, base);
    x = sampler->step(e_none + 5 * (e_base - e_none) + 3 * (adapted - e_base), i, x, {});
  }
  test::expect_close("latents", found, x, 1e-4);  // batched and single calls round apart, over five steps

  // Weight 0 is the base model, asked for the base prompt.
  options.reward_weight = 0;
  const Tensor without = pipeline.generate_latents(requests(), options);
  const AdaptersOff off;
  options.reward_weight.reset();
  test::expect_close("weight 0", without, pipeline.generate_latents({{"a cat", 1}, {"a cat", 2}}, options), 1e-5);
  CHECK((found - without).abs().max().item<float>() > 1e-2);
}
