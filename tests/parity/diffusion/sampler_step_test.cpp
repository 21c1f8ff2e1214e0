// Against diffusers' schedulers and the loop of its pipeline (golden/make_diffusion.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/diffusion/sampler.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"
#include "tests/unit/diffusion/made_up_denoiser.h"

using namespace palate;

TEST_CASE("samplers: every step of every case equals diffusers'") {
  const test::GoldenFile golden("diffusion.safetensors");
  const Json cases = Json::parse(test::read_text(test::golden("diffusion.json")));
  REQUIRE(cases.size() > 200);
  const Tensor predicted = golden.at("predicted"), noise = golden.at("noise");
  for (size_t row = 0; row < cases.size(); ++row) {
    const Json& each = cases[row];
    const std::string key = each["key"].get<std::string>();
    INFO(each.dump());
    const auto sampler = make_sampler("", each["config"]);
    sampler->set_timesteps(each["count"].get<int64_t>());
    const Tensor timesteps = golden.at(key + ".timesteps"), steps = golden.at(key + ".steps");
    REQUIRE((sampler->timesteps().scalar_type() == timesteps.scalar_type()));
    test::expect_close("timesteps", sampler->timesteps(), timesteps, timesteps.is_floating_point() ? 1e-6 : 0);
    CHECK(sampler->init_noise_sigma() == doctest::Approx(golden.at("sigmas")[static_cast<int64_t>(row)].item<double>()).epsilon(1e-7));
    Tensor x = golden.at("start") * sampler->init_noise_sigma();
    for (int64_t i = 0; i < timesteps.size(0); ++i) {
      if (golden.contains(key + ".scaled"))
        test::expect_close("scaled input", sampler->scale_model_input(x, i), golden.at(key + ".scaled")[i], golden.bound(key + ".scaled"));
      x = sampler->step(predicted[i], i, x, noise[i]);
      test::expect_close("step " + std::to_string(i), x, steps[i], golden.bound(key + ".steps"));
    }
  }
}

TEST_CASE("guidance: the loop equals StableDiffusionPipeline's, with and without rescaling") {
  const test::GoldenFile golden("diffusion.safetensors");
  test::MadeUpDenoiser denoiser(golden.at("guided.wave"));
  const Json config = {{"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"clip_sample", false},
                       {"set_alpha_to_one", false},        {"steps_offset", 1}};
  Condition positive, negative;
  positive.set("encoder_hidden_states", golden.at("guided.text"));
  negative.set("encoder_hidden_states", golden.at("guided.empty"));
  const auto run = [&](double scale, double rescale) {
    const auto sampler = make_sampler("ddim", config);
    sampler->set_timesteps(5);
    SampleOptions options;
    options.guidance_scale = scale;
    options.guidance_rescale = rescale;
    return sample_latents(denoiser, *sampler, golden.at("guided.start"), positive, negative, options);
  };
  golden.expect("guided.1.0.0.0", run(1, 0), 2e-6);
  golden.expect("guided.7.5.0.0", run(7.5, 0), 2e-6);
  golden.expect("guided.7.5.0.7", run(7.5, 0.7), 2e-6);
}
