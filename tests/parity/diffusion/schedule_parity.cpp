// Against diffusers' DDPMScheduler (golden/make_diffusion.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/schedule.h"
#include "palate/diffusion/scheduler_config.h"
#include "tests/support/expect_close.h"

using namespace palate;

TEST_CASE("schedules: betas, products, noising and velocity equal diffusers', with and without zero terminal SNR") {
  const auto golden = test::load_golden("diffusion.safetensors");
  const Tensor t = golden.at("schedule.t"), x0 = golden.at("schedule.x0"), noise = golden.at("schedule.noise");
  for (const char* name : {"linear", "scaled_linear", "squaredcos_cap_v2"}) {
    for (const bool zero : {false, true}) {
      const std::string key = std::string("schedule.") + name + (zero ? ".zero" : ".plain");
      const Json config = {{"beta_schedule", name}, {"rescale_betas_zero_snr", zero}, {"prediction_type", "v_prediction"}};
      const NoiseSchedule schedule(config);
      CHECK(schedule.steps() == 1000);
      test::expect_close(key, SchedulerConfig(config).betas(), golden.at(key + ".betas"), 1e-7);
      test::expect_close(key, schedule.alphas_cumprod(), golden.at(key + ".alphas_cumprod"), 1e-7);
      test::expect_close(key, schedule.add_noise(x0, noise, t), golden.at(key + ".x_t"), 1e-7);
      test::expect_close(key, schedule.target(x0, noise, t), golden.at(key + ".v"), 1e-7);
    }
  }
}

TEST_CASE("timesteps: every spacing equals diffusers' for 1 to 64, 100, 250 and 1000 steps") {
  const auto golden = test::load_golden("diffusion.safetensors");
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
