// Against diffusers' DDPMScheduler (golden/make_diffusion.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/schedule.h"
#include "palate/diffusion/scheduler_config.h"
#include "tests/support/golden_file.h"

using namespace palate;

TEST_CASE("schedules: betas, products, noising and velocity equal diffusers', with and without zero terminal SNR") {
  const test::GoldenFile golden("diffusion.safetensors");
  const Tensor t = golden.at("schedule.t"), x0 = golden.at("schedule.x0"), noise = golden.at("schedule.noise");
  for (const char* name : {"linear", "scaled_linear", "squaredcos_cap_v2"}) {
    for (const bool zero : {false, true}) {
      const std::string key = std::string("schedule.") + name + (zero ? ".zero" : ".plain");
      const Json config = {{"beta_schedule", name}, {"rescale_betas_zero_snr", zero}, {"prediction_type", "v_prediction"}};
      const NoiseSchedule schedule(config);
      CHECK(schedule.steps() == 1000);
      golden.expect(key + ".betas", SchedulerConfig(config).betas(), 1e-7);
      golden.expect(key + ".alphas_cumprod", schedule.alphas_cumprod(), 1e-7);
      golden.expect(key + ".x_t", schedule.add_noise(x0, noise, t), 1e-7);
      golden.expect(key + ".v", schedule.target(x0, noise, t), 1e-7);
    }
  }
}

TEST_CASE("faults: 1e-4 in where the betas end is seen in everything that is made of them") {
  const test::GoldenFile golden("diffusion.safetensors");
  const Tensor t = golden.at("schedule.t"), x0 = golden.at("schedule.x0"), noise = golden.at("schedule.noise");
  for (const char* name : {"linear", "scaled_linear"}) {
    const std::string key = std::string("schedule.") + name + ".plain";
    CAPTURE(key);
    const Json config = {{"beta_schedule", name}, {"beta_end", 0.02 * (1 + 1e-4)}, {"prediction_type", "v_prediction"}};
    const NoiseSchedule schedule(config);
    CHECK_FALSE(golden.close(key + ".betas", SchedulerConfig(config).betas(), 1e-7));
    CHECK_FALSE(golden.close(key + ".alphas_cumprod", schedule.alphas_cumprod(), 1e-7));
    CHECK_FALSE(golden.close(key + ".x_t", schedule.add_noise(x0, noise, t), 1e-7));
    CHECK_FALSE(golden.close(key + ".v", schedule.target(x0, noise, t), 1e-7));
  }
}

TEST_CASE("timesteps: every spacing equals diffusers' for 1 to 64, 100, 250 and 1000 steps") {
  const test::GoldenFile golden("diffusion.safetensors");
  std::vector<int64_t> counts = {100, 250, 1000};
  for (int64_t count = 64; count >= 1; --count) counts.insert(counts.begin(), count);
  for (const char* name : {"leading", "linspace", "trailing"}) {
    const Tensor table = golden.at(std::string("table.") + name).to(torch::kFloat64);
    int64_t at = 0;
    for (const int64_t count : counts) {
      const auto sampler = make_sampler("ddim", Json{{"timestep_spacing", name}});
      sampler->set_timesteps(count);
      const Tensor got = sampler->timesteps().to(torch::kFloat64);
      INFO(std::string(name), " ", count);
      REQUIRE(got.numel() == count);
      CHECK(torch::equal(got, table.narrow(0, at, count)));
      at += count;
    }
    CHECK(at == table.numel());
  }
}
