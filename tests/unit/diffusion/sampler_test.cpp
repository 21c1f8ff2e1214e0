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

const Json sd = {{"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"clip_sample", false}};

Condition condition_of(const Tensor& text) {
  Condition condition;
  condition.text = text;
  return condition;
}

}  // namespace

TEST_CASE("samplers: found by name and by class, and others are refused") {
  for (const auto& name : sampler_names()) {
    Json config = sd;
    config["skip_prk_steps"] = true;
    CHECK_NOTHROW(make_sampler(name, config));
  }
  CHECK_NOTHROW(make_sampler("", Json{{"_class_name", "DDIMScheduler"}}));
  CHECK_THROWS_WITH_AS(make_sampler("eulr", sd), doctest::Contains("did you mean 'euler'"), UsageError);
  CHECK_THROWS_WITH_AS(make_sampler("", Json{{"_class_name", "FooScheduler"}}), doctest::Contains("FooScheduler"), UsageError);
  CHECK_THROWS_AS(make_sampler("", sd), FormatError);
  CHECK_THROWS_WITH_AS(make_sampler("ddim", Json{{"thresholding", true}}), doctest::Contains("thresholding"), UsageError);
  CHECK_THROWS_WITH_AS(make_sampler("ddpm", Json{{"variance_type", "learned"}}), doctest::Contains("variance_type"), UsageError);
  CHECK_THROWS_WITH_AS(make_sampler("euler", Json{{"use_beta_sigmas", true}}), doctest::Contains("use_beta_sigmas"), UsageError);
}

// The last step goes to noise level 0, where all weight lies on the estimate of x0: a network that always answers x0 is led there.
TEST_CASE("samplers: a network that knows the answer is led to it") {
  const Tensor x0 = torch::full({1, 1, 2, 2}, 0.5);
  for (const char* name : {"ddim", "euler", "ddpm"}) {
    Json config = sd;
    config["prediction_type"] = "sample";
    config["set_alpha_to_one"] = true;
    const auto sampler = make_sampler(name, config);
    sampler->set_timesteps(10);
    Tensor x = Generator({.seed = 5}).normal({1, 1, 2, 2}) * sampler->init_noise_sigma();
    for (int64_t i = 0; i < 10; ++i) x = sampler->step(x0, i, x, Generator({.seed = 6, .draw = static_cast<uint64_t>(i)}).normal({1, 1, 2, 2}));
    INFO(std::string(name));
    test::expect_close(name, x, x0, 1e-5);
  }
}

TEST_CASE("samplers: add_noise at the first step gives what sampling starts from, but for the signal that is left") {
  const Tensor noise = Generator({.seed = 5}).normal({1, 1, 2, 2});
  for (const auto& name : sampler_names()) {
    Json config = sd;
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
    return Generator({.seed = 9, .sample = static_cast<uint64_t>(offset + sample), .draw = static_cast<uint64_t>(step), .purpose = Purpose::sampler})
        .normal({1, 2, 2, 2});
  };
  const auto run = [&](int64_t from, int64_t count) {
    const auto sampler = make_sampler("ddpm", sd);
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
  const auto sampler = make_sampler("ddim", sd);
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
  const auto unset = make_sampler("ddim", sd);
  CHECK_THROWS_WITH(sample_latents(denoiser, *unset, start, condition_of(text), condition_of(text), {}), doctest::Contains("set_timesteps"));
  const auto noisy = make_sampler("ddpm", sd);
  noisy->set_timesteps(2);
  CHECK_THROWS_WITH(sample_latents(denoiser, *noisy, start, condition_of(text), condition_of(text), {}), doctest::Contains("noise"));
  CHECK_THROWS_WITH(sample_latents(denoiser, *noisy, start, condition_of(text), {}, {}), doctest::Contains("negative"));
  const auto pndm = make_sampler("pndm", Json{{"skip_prk_steps", true}});
  pndm->set_timesteps(3);
  CHECK_NOTHROW(pndm->step(start, 1, start, {}));  // a late start
  CHECK_THROWS_WITH(pndm->step(start, 3, start, {}), doctest::Contains("in order"));
}
