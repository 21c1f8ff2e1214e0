// DDIM's step for rows at timesteps of their own, as policies are trained on it.
#include "palate/diffusion/gaussian_step.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/diffusion/rollout.h"
#include "palate/diffusion/schedule.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"
#include "tests/unit/diffusion/made_up_denoiser.h"

using namespace palate;
using palate::test::draw;

namespace {

Json sd_steps(const std::string& prediction = "epsilon", bool alpha_one = false) {
  return {{"beta_schedule", "scaled_linear"},
          {"beta_start", 0.00085},
          {"beta_end", 0.012},
          {"clip_sample", false},
          {"steps_offset", 1},
          {"eta", 1.0},
          {"prediction_type", prediction},
          {"set_alpha_to_one", alpha_one}};
}

Condition states(uint64_t seed) { return {{"encoder_hidden_states", draw({2, 3, 4}, seed)}}; }

}  // namespace

TEST_CASE("gaussian step: mean and deviation are those of the ddim sampler, whatever is predicted, at the end too") {
  for (const char* prediction : {"epsilon", "v_prediction", "sample"}) {
    for (const bool alpha_one : {false, true}) {
      INFO(std::string(prediction), " ", alpha_one);
      const Json config = sd_steps(prediction, alpha_one);
      const NoiseSchedule schedule(config);
      const GaussianStep step(schedule, config, 1, 1);
      const auto sampler = make_sampler("ddim", config);
      sampler->set_timesteps(20);
      const GaussianStep::Grid grid = step.grid(20);
      REQUIRE(grid.t.size() == 20);
      CHECK(grid.s.back() < 0);
      for (int64_t i = 0; i < 20; ++i) {
        const Tensor x = draw({1, 3, 2, 2}, 1 + static_cast<uint64_t>(i)), predicted = draw({1, 3, 2, 2}, 40);
        const auto exact = sampler->transition(predicted, i, x);
        const auto at = static_cast<size_t>(i);
        CHECK(exact.has_value() == step.draws(grid.s[at]));
        const Transition found = step.transition(predicted, x, torch::tensor({grid.t[at]}), torch::tensor({grid.s[at]}));
        // The sampler rounds to float32 at each operation.
        test::expect_close("mean", found.mean, exact ? exact->mean : sampler->step(predicted, i, x, {}), 2e-5);
        if (exact) test::expect_close("std", found.std.flatten(), exact->std.view({1}), 1e-5);
        if (!exact) CHECK(found.std.item<float>() == 0);
      }
    }
  }
}

TEST_CASE("gaussian step: the deviation of a short step keeps its digits") {
  const Json config = sd_steps();
  const NoiseSchedule schedule(config);
  const GaussianStep step(schedule, config, 1, 1);
  const Tensor a = schedule.alphas_cumprod().to(torch::kFloat64), x = draw({1, 3, 2, 2}, 1);
  for (const int64_t t : {1, 20, 500, 999}) {
    const double at = a[t].item<double>(), to = a[t - 1].item<double>();
    const double exact = std::sqrt((1 - to) / (1 - at) * (1 - at / to));
    const Transition found = step.transition(x, x, torch::tensor({t}), torch::tensor({t - 1}));
    CHECK(found.std.item<double>() == doctest::Approx(exact).epsilon(1e-6));
  }
}

TEST_CASE("gaussian step: a sampled way's own log-probability is recovered") {
  test::MadeUpDenoiser network(draw({1, 3, 2, 2}, 2));
  const Json config = sd_steps();
  const NoiseSchedule schedule(config);
  const GaussianStep step(schedule, config, 5, 1);
  const auto sampler = make_sampler("ddim", config);
  sampler->set_timesteps(10);
  SampleOptions options;
  options.guidance_scale = 5;
  const Tensor noise = draw({10, 2, 3, 2, 2}, 3);
  options.noise = [&](int64_t sample, int64_t i) { return noise[i].narrow(0, sample, 1); };
  const Condition positive = states(4), negative = states(5);
  const Trajectory way = roll_out(network, *sampler, draw({2, 3, 2, 2}, 6), positive, negative, options);
  const GaussianStep::Grid grid = step.grid(10);
  for (int64_t i = 0; i < 10; ++i) {
    // Both rows in one batch with rows of another step, as training sees them.
    const int64_t other = (i + 3) % 10;
    const Tensor x = torch::cat({way.x[i], way.x[other]});
    const auto both = [&](const std::vector<int64_t>& of) {
      const int64_t a = of[static_cast<size_t>(i)], b = of[static_cast<size_t>(other)];
      return torch::tensor({a, a, b, b});
    };
    const Tensor predicted = step.predict(network, x, both(grid.t), positive.repeat(2), negative.repeat(2));
    const Tensor found = log_prob(torch::cat({way.x[i + 1], way.x[other + 1]}), step.transition(predicted, x, both(grid.t), both(grid.s)));
    test::expect_close("log density", found, torch::cat({way.log_prob[i], way.log_prob[other]}), 1e-5);
  }
}

TEST_CASE("gaussian step: a rectified flow is refused") {
  const Json flow = {{"_class_name", "FlowMatchEulerDiscreteScheduler"}};
  const auto process = make_noise_process(flow);
  CHECK_THROWS_WITH_AS(GaussianStep(*process, flow, 1, 1), doctest::Contains("rectified flow"), UsageError);
}
