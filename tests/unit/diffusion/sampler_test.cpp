#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/diffusion/sampler.h"
#include "tests/support/expect_close.h"
#include "tests/unit/diffusion/made_up_denoiser.h"

using namespace palate;

namespace {

const Json plain_sd = {{"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"clip_sample", false}};

Condition condition_of(const Tensor& text) { return {{"encoder_hidden_states", text}}; }

}  // namespace

TEST_CASE("samplers: found by name and by class, and others are refused") {
  for (const auto& name : sampler_names()) {
    Json config = plain_sd;
    config["skip_prk_steps"] = true;
    CHECK_NOTHROW(make_sampler(name, config));
  }
  CHECK_NOTHROW(make_sampler("", Json{{"_class_name", "DDIMScheduler"}}));
  CHECK_THROWS_WITH_AS(make_sampler("eulr", plain_sd), doctest::Contains("did you mean 'euler'"), UsageError);
  CHECK_THROWS_WITH_AS(make_sampler("", Json{{"_class_name", "FooScheduler"}}), doctest::Contains("FooScheduler"), UsageError);
  CHECK_THROWS_AS(make_sampler("", plain_sd), FormatError);
  CHECK_THROWS_WITH_AS(make_sampler("ddim", Json{{"thresholding", true}}), doctest::Contains("thresholding"), UsageError);
  CHECK_THROWS_WITH_AS(make_sampler("ddpm", Json{{"variance_type", "learned"}}), doctest::Contains("variance_type"), UsageError);
  CHECK_THROWS_WITH_AS(make_sampler("euler", Json{{"use_beta_sigmas", true}}), doctest::Contains("use_beta_sigmas"), UsageError);
}

TEST_CASE("samplers: what a config asks for and Palate does not do is refused by key") {
  const auto refused = [](const char* name, const Json& config, const char* key) {
    CHECK_THROWS_WITH_AS(make_sampler(name, config), doctest::Contains(key), UsageError);
  };
  for (const char* name : {"dpm++_2m", "unipc"}) {
    for (const char* key : {"thresholding", "use_beta_sigmas", "use_flow_sigmas", "use_dynamic_shifting"})
      refused(name, {{key, true}}, key);
    refused(name, {{"prediction_type", "flow_prediction"}}, "prediction_type");
    refused(name, {{"final_sigmas_type", "none"}}, "final_sigmas_type");
    refused(name, {{"solver_type", "bh3"}}, "solver_type");
  }
  const char* dpm = "DPMSolverMultistepScheduler";
  refused(dpm, {{"solver_order", 4}}, "solver_order");
  refused(dpm, {{"solver_order", 0}}, "solver_order");
  refused(dpm, {{"algorithm_type", "dpmsolver"}}, "sigma_min");
  refused(dpm, {{"algorithm_type", "sde-dpmsolver"}, {"solver_order", 3}, {"final_sigmas_type", "sigma_min"}}, "sde-dpmsolver");
  refused(dpm, {{"algorithm_type", "dpmsolver+"}}, "did you mean 'dpmsolver++'");
  refused(dpm, {{"variance_type", "learned_range"}}, "variance_type");
  refused(dpm, {{"use_karras_sigmas", true}, {"use_exponential_sigmas", true}}, "use_exponential_sigmas");
  refused("unipc", {{"lower_order_final", false}}, "lower_order_final");
  refused("unipc", {{"solver_p", "x"}}, "solver_p");
  CHECK_THROWS_WITH_AS(make_sampler("unipc", Json{{"disable_corrector", {0.5}}}), doctest::Contains("disable_corrector"), FormatError);
  refused("euler_a", {{"prediction_type", "sample"}}, "prediction_type");
  refused("heun", {{"use_beta_sigmas", true}}, "use_beta_sigmas");
  refused("lcm", {{"thresholding", true}}, "thresholding");
  refused("lcm", {{"original_inference_steps", 1001}}, "original_inference_steps");
  CHECK_THROWS_AS(make_sampler("dpm++_2m", Json::array()), FormatError);
}

TEST_CASE("samplers: a number of steps that the schedule has not is wrong use") {
  for (const char* name : {"euler_a", "heun", "dpm++_2m", "unipc", "lcm"}) {
    INFO(std::string(name));
    const auto sampler = make_sampler(name, Json{{"timestep_spacing", "leading"}, {"steps_offset", 1}});
    for (const int64_t count : {int64_t{-1}, int64_t{0}, int64_t{1000}, int64_t{1} << 62})
      CHECK_THROWS_AS(sampler->set_timesteps(count), UsageError);
    CHECK_NOTHROW(sampler->set_timesteps(50));
  }
}

TEST_CASE("samplers: a name says its options, a class keeps the config's") {
  const auto stochastic = [](const char* name, const char* type) {
    return make_sampler(name, Json{{"algorithm_type", type}, {"_class_name", "DPMSolverMultistepScheduler"}})->stochastic();
  };
  CHECK(stochastic("", "sde-dpmsolver++"));
  CHECK(stochastic("DPMSolverMultistepScheduler", "sde-dpmsolver++"));
  CHECK_FALSE(stochastic("dpm++_2m", "sde-dpmsolver++"));
  CHECK(stochastic("dpm++_2m_sde", "dpmsolver++"));
  CHECK_NOTHROW(make_sampler("dpm++_2m_karras", Json{{"use_exponential_sigmas", true}}));
}

TEST_CASE("samplers: Heun evaluates twice a step, the others once") {
  for (const auto& name : sampler_names()) {
    Json config = plain_sd;
    config["skip_prk_steps"] = true;
    const auto sampler = make_sampler(name, config);
    sampler->set_timesteps(6);
    INFO(name);
    CHECK(sampler->order() == (name == "heun" ? 2 : 1));
    CHECK(sampler->timesteps().size(0) == (name == "heun" ? 11 : name == "pndm" ? 7 : 6));
  }
}

// diffusers multiplies the infinite last step of bh1 by zero, and gives no number.
TEST_CASE("samplers: UniPC's bh1 ends at noise level 0 with numbers") {
  const auto sampler = make_sampler("unipc", Json{{"solver_type", "bh1"}});
  sampler->set_timesteps(3);
  Tensor x = torch::ones({1, 1, 2, 2});
  for (int64_t i = 0; i < 3; ++i) x = sampler->step(0.5 * x, i, x, {});
  CHECK(x.isfinite().all().item<bool>());
}

// The last step goes to noise level 0, where all weight lies on the estimate of x0: a network that always answers x0 is led there.
TEST_CASE("samplers: a network that knows the answer is led to it") {
  const Tensor x0 = torch::full({1, 1, 2, 2}, 0.5);
  for (const char* name : {"ddim", "euler", "ddpm", "heun", "dpm++_2m", "dpm++_2m_sde_karras", "unipc", "lcm"}) {
    Json config = plain_sd;
    config["prediction_type"] = "sample";
    config["set_alpha_to_one"] = true;
    const auto sampler = make_sampler(name, config);
    sampler->set_timesteps(10);
    Tensor x = Generator({.seed = 5}).normal({1, 1, 2, 2}) * sampler->init_noise_sigma();
    for (int64_t i = 0; i < sampler->timesteps().size(0); ++i)
      x = sampler->step(x0, i, x, Generator({.seed = 6, .draw = static_cast<uint64_t>(i)}).normal({1, 1, 2, 2}));
    INFO(std::string(name));
    test::expect_close(name, x, x0, 1e-5);
  }
}

TEST_CASE("samplers: add_noise at the first step gives what sampling starts from, but for the signal that is left") {
  const Tensor noise = Generator({.seed = 5}).normal({1, 1, 2, 2});
  for (const auto& name : sampler_names()) {
    Json config = plain_sd;
    config["skip_prk_steps"] = true;
    const auto sampler = make_sampler(name, config);
    CHECK_THROWS_WITH(sampler->add_noise(noise, noise, 0), doctest::Contains("set_timesteps"));
    sampler->set_timesteps(10);
    INFO(name);
    test::expect_close(name, sampler->add_noise(torch::zeros_like(noise), noise, 0), noise * sampler->init_noise_sigma(), 0.01);
    CHECK((sampler->add_noise(noise.to(torch::kBFloat16), noise, 5).scalar_type() == torch::kFloat32));
  }
}

TEST_CASE("sampling: a picture does not depend on the batch that it is made in") {
  Generator g({.seed = 2});
  const Tensor start = g.normal({3, 2, 2, 2}), text = g.normal({3, 3, 4}), empty = g.normal({1, 3, 4});
  test::MadeUpDenoiser denoiser(g.normal({1, 2, 2, 2}));
  SampleOptions options;
  int64_t offset = 0;
  options.noise = [&](int64_t sample, int64_t step) {
    return Generator({.seed = 9,
                      .sample = static_cast<uint64_t>(offset + sample),
                      .draw = static_cast<uint64_t>(step),
                      .purpose = Purpose::sampler})
        .normal({1, 2, 2, 2});
  };
  const auto run = [&](int64_t from, int64_t count) {
    const auto sampler = make_sampler("ddpm", plain_sd);
    sampler->set_timesteps(4);
    offset = from;
    return sample_latents(denoiser, *sampler, start.narrow(0, from, count), condition_of(text.narrow(0, from, count)),
                          condition_of(empty.expand({count, 3, 4})), options);
  };
  const Tensor together = run(0, 3);
  for (int64_t i = 0; i < 3; ++i) test::expect_close("alone", run(i, 1), together.narrow(0, i, 1), 1e-6);
}

TEST_CASE("sampling: without guidance the network is asked once a step for the batch alone") {
  test::MadeUpDenoiser denoiser(torch::ones({1, 2, 2, 2}));
  const auto sampler = make_sampler("ddim", plain_sd);
  sampler->set_timesteps(4);
  SampleOptions options;
  options.guidance_scale = 1;
  int64_t told = 0;
  options.on_step = [&](int64_t step) { told += step; };
  const Tensor text = torch::ones({2, 3, 4});
  const Tensor x = sample_latents(denoiser, *sampler, torch::zeros({2, 2, 2, 2}), condition_of(text), {}, options);
  CHECK(x.size(0) == 2);
  CHECK(denoiser.calls == 4);
  CHECK(told == 0 + 1 + 2 + 3);
}

TEST_CASE("sampling: what is missing is named") {
  test::MadeUpDenoiser denoiser(torch::ones({1, 2, 2, 2}));
  const Tensor start = torch::zeros({1, 2, 2, 2}), text = torch::ones({1, 3, 4});
  const auto unset = make_sampler("ddim", plain_sd);
  CHECK_THROWS_WITH(sample_latents(denoiser, *unset, start, condition_of(text), condition_of(text), {}),
                    doctest::Contains("set_timesteps"));
  const auto noisy = make_sampler("ddpm", plain_sd);
  noisy->set_timesteps(2);
  CHECK_THROWS_WITH(sample_latents(denoiser, *noisy, start, condition_of(text), condition_of(text), {}), doctest::Contains("noise"));
  CHECK_THROWS_WITH(sample_latents(denoiser, *noisy, start, condition_of(text), {}, {}), doctest::Contains("negative"));
  const auto pndm = make_sampler("pndm", Json{{"skip_prk_steps", true}});
  pndm->set_timesteps(3);
  CHECK_NOTHROW(pndm->step(start, 1, start, {}));  // a late start
  for (const char* name : {"heun", "dpm++_2m", "unipc"}) {
    const auto sampler = make_sampler(name, plain_sd);
    CHECK_THROWS_WITH(sampler->step(start, 0, start, {}), doctest::Contains("set_timesteps"));
    sampler->set_timesteps(3);
    CHECK_NOTHROW(sampler->step(start, 1, start, {}));
    CHECK_THROWS_WITH(sampler->step(start, 1, start, {}), doctest::Contains("in order"));
    sampler->set_timesteps(3);
    CHECK_NOTHROW(sampler->step(start, 0, start, {}));
  }
  CHECK_THROWS_WITH(pndm->step(start, 3, start, {}), doctest::Contains("in order"));
}
