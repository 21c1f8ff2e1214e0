// Trajectories and their log-probabilities against diffusers' DDIM at eta 1 and DDPO's density (tests/golden/make_rollout.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/diffusion/rollout.h"
#include "tests/support/golden_file.h"
#include "tests/unit/diffusion/made_up_denoiser.h"

using namespace palate;

TEST_CASE("roll_out: every state and log-probability equals diffusers' DDIM with eta 1, for pictures and videos") {
  const test::GoldenFile golden("rollout.safetensors");
  const Json config = {{"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"clip_sample", false},
                       {"set_alpha_to_one", false},        {"steps_offset", 1},     {"eta", 1.0}};
  for (const std::string name : {"picture", "video"}) {
    const auto given = [&](const char* what) { return golden.at(name + "." + what); };
    test::MadeUpDenoiser denoiser(given("wave"));
    const auto sampler = make_sampler("ddim", config);
    sampler->set_timesteps(given("noise").size(0));
    const Condition positive{{"encoder_hidden_states", given("text")}}, negative{{"encoder_hidden_states", given("empty")}};
    SampleOptions options;
    options.guidance_scale = 5;
    const Tensor noise = given("noise");
    options.noise = [&](int64_t sample, int64_t step) { return noise[step].narrow(0, sample, 1); };
    const Trajectory way = roll_out(denoiser, *sampler, given("start"), positive, negative, options);
    golden.expect(name + ".x", way.x);
    golden.expect(name + ".log_prob", way.log_prob);
  }
}
