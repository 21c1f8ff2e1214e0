// Stochastic steps as draws with a density, and the trajectories that they make.
#include "palate/diffusion/rollout.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"
#include "tests/unit/diffusion/made_up_denoiser.h"

using namespace palate;
using palate::test::draw;

namespace {

const Json sd_eta = {
    {"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"clip_sample", false}, {"eta", 1.0}};

Condition text_of(const Tensor& text) { return {{"encoder_hidden_states", text}}; }

// A trajectory of two samples of [2, 3, 2, 2] with guidance, and what made it.
struct RolledOut {
  test::MadeUpDenoiser denoiser{draw({1, 2, 3, 2, 2}, 1)};
  std::unique_ptr<Sampler> sampler;
  Condition positive = text_of(draw({2, 3, 4}, 2)), negative = text_of(draw({2, 3, 4}, 3));
  Tensor start = draw({2, 2, 3, 2, 2}, 4), noise = draw({5, 2, 2, 3, 2, 2}, 5);
  SampleOptions options;

  explicit RolledOut(const char* name, const Json& config = sd_eta) : sampler(make_sampler(name, config)) {
    sampler->set_timesteps(5);
    options.guidance_scale = 5;
    options.noise = [this](int64_t sample, int64_t step) { return noise[step].narrow(0, sample, 1); };
  }
  Trajectory run() { return roll_out(denoiser, *sampler, start, positive, negative, options); }
};

}  // namespace

TEST_CASE("transition: step is mean + std * noise to the bit, for every sampler that has one") {
  for (const char* name : {"ddpm", "ddim", "euler_a", "lcm"}) {
    INFO(std::string(name));
    const auto sampler = make_sampler(name, sd_eta);
    sampler->set_timesteps(5);
    int64_t drawn = 0;
    for (int64_t i = 0; i < 5; ++i) {
      const Tensor x = draw({2, 3, 2, 2}, 10), predicted = draw({2, 3, 2, 2}, 11), noise = draw({2, 3, 2, 2}, 12);
      const auto transition = sampler->transition(predicted, i, x);
      const Tensor stepped = sampler->step(predicted, i, x, noise);
      if (!transition) {
        test::expect_equal("no noise is added", stepped, sampler->step(predicted, i, x, {}));
        continue;
      }
      ++drawn;
      CHECK(transition->std.item<float>() > 0);
      test::expect_equal("step", stepped, transition->mean + transition->std * noise);
    }
    CHECK(drawn >= 4);
  }
}

TEST_CASE("transition: there is none where no noise is added") {
  for (const char* name : {"ddim", "euler", "pndm", "heun", "dpm++_2m", "unipc", "dpm++_2m_sde"}) {
    INFO(std::string(name));
    Json config = sd_eta;
    config["eta"] = 0;
    config["skip_prk_steps"] = true;
    const auto sampler = make_sampler(name, config);
    sampler->set_timesteps(5);
    CHECK_FALSE(sampler->transition(torch::ones({1, 1, 2, 2}), 1, torch::ones({1, 1, 2, 2})).has_value());
  }
}

TEST_CASE("log_prob: the normal density's logarithm by hand, as a mean over a sample's elements") {
  const Transition transition{torch::tensor({{1.0f, 2.0f}, {0.0f, 0.0f}}), torch::scalar_tensor(0.5, torch::kFloat32)};
  const Tensor found = log_prob(torch::tensor({{1.5f, 2.0f}, {0.0f, -1.0f}}), transition);
  const double constant = -std::log(0.5) - 0.5 * std::log(2 * std::numbers::pi);
  // Deviations away: 1 and 0; 0 and -2.
  test::expect_close("log density", found, torch::tensor({constant - 0.25, constant - 1}, torch::kFloat32), 1e-6);
}

TEST_CASE("roll_out: log-probabilities are those of the noise that was drawn, steps are those of sample_latents") {
  for (const char* name : {"ddim", "ddpm"}) {
    RolledOut made(name);
    const Trajectory way = made.run();
    CHECK(way.x.sizes() == std::vector<int64_t>{6, 2, 2, 3, 2, 2});
    CHECK(way.log_prob.sizes() == std::vector<int64_t>{5, 2});
    test::expect_equal("t", way.t, made.sampler->timesteps());
    test::expect_equal("the start", way.x[0], made.start);
    test::expect_equal("the latents", way.latents(),
                       sample_latents(made.denoiser, *made.sampler, made.start, made.positive, made.negative, made.options));
    for (int64_t i = 0; i < 5; ++i) {
      const Tensor predicted = guided_prediction(made.denoiser, *made.sampler, way.x[i], i, made.positive, made.negative, made.options);
      test::expect_equal("the step again", made.sampler->step(predicted, i, way.x[i], made.noise[i]), way.x[i + 1]);
      const auto transition = made.sampler->transition(predicted, i, way.x[i]);
      if (!transition) {
        CHECK(way.log_prob[i].abs().max().item<float>() == 0);
        continue;
      }
      const Tensor density = -made.noise[i].square().flatten(1).mean(1) / 2 - transition->std.log() - std::log(2 * std::numbers::pi) / 2;
      test::expect_close("log density", way.log_prob[i], density, 1e-4);
    }
  }
}

TEST_CASE("roll_out: gradients of a log-probability push the mean towards what was drawn") {
  RolledOut made("ddim");
  const Trajectory way = made.run();
  const Tensor predicted =
      guided_prediction(made.denoiser, *made.sampler, way.x[2], 2, made.positive, made.negative, made.options).set_requires_grad(true);
  const auto transition = made.sampler->transition(predicted, 2, way.x[2]);
  REQUIRE(transition);
  log_prob(way.x[3], *transition).sum().backward();
  const Tensor by_mean = (way.x[3] - transition->mean.detach()) / transition->std.square() / (2 * 3 * 2 * 2);
  const Tensor shifted = made.sampler->transition(predicted.detach() + 1, 2, way.x[2])->mean - transition->mean.detach();
  test::expect_close("gradient", predicted.grad(), by_mean * shifted, 1e-3);  // the mean is linear in the prediction
}

TEST_CASE("roll_out: starts late from a clean latent, and calls what watches") {
  RolledOut made("ddim");
  made.options.clean = draw({2, 2, 3, 2, 2}, 6);
  made.options.begin = 2;
  int64_t seen = 0;
  made.options.on_transition = [&](int64_t, const Tensor&, const Tensor&, const Tensor&) { ++seen; };
  const Trajectory way = made.run();
  CHECK(way.x.size(0) == 4);
  CHECK(way.log_prob.size(0) == 3);
  test::expect_equal("t", way.t, made.sampler->timesteps().slice(0, 2));
  test::expect_equal("the start", way.x[0], made.sampler->add_noise(made.options.clean, made.start, 2));
  CHECK(seen == 3);
}

TEST_CASE("roll_out: what has no density is refused") {
  RolledOut plain("euler");
  CHECK_THROWS_WITH_AS(plain.run(), doctest::Contains("take ddpm, or ddim with eta above 0"), UsageError);
  RolledOut masked("ddim");
  masked.options.clean = masked.start;
  masked.options.mask = torch::ones({1, 1, 3, 2, 2});
  CHECK_THROWS_WITH_AS(masked.run(), doctest::Contains("leave it out"), UsageError);
}

TEST_CASE("sampling: extra channels and a mask of a latent with frames") {
  RolledOut made("ddim");
  made.options.clean = draw({2, 2, 3, 2, 2}, 6);
  made.options.mask = torch::zeros({1, 1, 3, 2, 2});
  const Tensor kept = sample_latents(made.denoiser, *made.sampler, made.start, made.positive, made.negative, made.options);
  test::expect_equal("nothing is made anew", kept, made.options.clean);
  SampleOptions alone;
  alone.guidance_scale = 1;
  alone.extra = draw({1, 2, 3, 2, 2}, 7);
  test::MadeUpDenoiser wide(draw({1, 4, 3, 2, 2}, 8));
  const Tensor x = draw({2, 2, 3, 2, 2}, 9);
  const Tensor predicted = guided_prediction(wide, *made.sampler, x, 0, made.positive, {}, alone);
  test::expect_equal(
      "behind the latents", predicted,
      wide.predict(torch::cat({x, alone.extra.expand_as(x)}, 1), made.sampler->timesteps().narrow(0, 0, 1).expand({2}), made.positive));
}
