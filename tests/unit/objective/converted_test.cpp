// Error spaces of other parameterisations: the relations of docs/objectives.md, section 0.2, from the errors of one prediction.
#include <doctest/doctest.h>

#include "palate/core/error.h"
#include "palate/diffusion/rectified_flow.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

Noised noised_at(const NoiseProcess& process, const Tensor& t) {
  const Batch batch = toy_pairs({1, 2});
  Noised it{.x0 = batch.x0.narrow(0, 0, t.size(0)),
            .noise = Generator({2, 1, 0, Purpose::noise}).normal({t.size(0), 4, 4, 4}),
            .x_t = {},
            .target = {},
            .t = t};
  it.x_t = process.add_noise(it.x0, it.noise, t);
  it.target = process.target(it.x0, it.noise, t);
  it.process = &process;
  return it;
}

std::unique_ptr<ErrorSpace> space(const std::string& name, const NoiseProcess& process) {
  return make_error_space(objective({"error_space=" + name}), {.process = process, .frozen = {}});
}

// The factor between the error there and that of the network's own output.
double factor(const std::string& name, const NoiseProcess& process, const Noised& noised) {
  const auto made = space(name, process);
  const Tensor wrong = noised.target + 0.5;
  const Tensor error = made->embed(noised, {}, wrong) - made->embed(noised, {}, noised.target);
  expect_close(name, error, torch::full_like(error, error.mean().item<double>()), 1e-4);
  return error.mean().item<double>() / 0.5;
}

}  // namespace

TEST_CASE("converted: errors stand in the relations of one network output") {
  const Tensor t = torch::tensor({700, 700});
  const double a = toy_schedule().alpha(t)[0].item<double>(), s = toy_schedule().sigma(t)[0].item<double>();
  struct Case {
    const char* prediction;
    double epsilon, x0, v, velocity;
  };
  // e_eps = alpha e_v, e_x0 = -sigma e_v, so e_eps = -(alpha / sigma) e_x0; velocity: e_eps - e_x0.
  const Case cases[] = {
      {"epsilon", 1, -s / a, 1 / a, 1 + s / a}, {"v_prediction", a, -s, 1, a + s}, {"sample", -a / s, 1, -1 / s, -a / s - 1}};
  for (const Case& it : cases) {
    CAPTURE(it.prediction);
    const NoiseSchedule& schedule = toy_schedule(it.prediction);
    const Noised noised = noised_at(schedule, t);
    CHECK(factor("epsilon", schedule, noised) == doctest::Approx(it.epsilon).epsilon(1e-5));
    CHECK(factor("x0", schedule, noised) == doctest::Approx(it.x0).epsilon(1e-5));
    CHECK(factor("v", schedule, noised) == doctest::Approx(it.v).epsilon(1e-5));
    CHECK(factor("velocity", schedule, noised) == doctest::Approx(it.velocity).epsilon(1e-5));
  }
  const RectifiedFlow flow(Json{{"num_train_timesteps", 1000}, {"shift", 1.0}});
  const Noised noised = noised_at(flow, torch::tensor({250.F, 250.F}));
  CHECK(factor("velocity", flow, noised) == doctest::Approx(1));
  CHECK(factor("epsilon", flow, noised) == doctest::Approx(0.75));
  CHECK(factor("x0", flow, noised) == doctest::Approx(-0.25));
  CHECK(factor("v", flow, noised) == doctest::Approx(0.75 * 0.75 + 0.25 * 0.25));
}

TEST_CASE("converted: the target becomes what it stands for, whatever is predicted") {
  for (const char* prediction : {"epsilon", "v_prediction", "sample"}) {
    CAPTURE(prediction);
    const NoiseSchedule& schedule = toy_schedule(prediction);
    const Noised noised = noised_at(schedule, torch::tensor({30, 600}));
    expect_close("epsilon", space("epsilon", schedule)->embed(noised, {}, noised.target), noised.noise, 1e-5);
    expect_close("x0", space("x0", schedule)->embed(noised, {}, noised.target), noised.x0, 1e-5);
    expect_close("v", space("v", schedule)->embed(noised, {}, noised.target),
                 toy_schedule("v_prediction").target(noised.x0, noised.noise, noised.t), 1e-5);
    expect_close("velocity", space("velocity", schedule)->embed(noised, {}, noised.target), noised.noise - noised.x0, 1e-5);
  }
}

TEST_CASE("converted: with zero terminal SNR the last timestep of a network that predicts noise is left out, and no other") {
  const auto schedule = [](const char* prediction) {
    return NoiseSchedule(Json{{"beta_start", 0.00085},
                              {"beta_end", 0.012},
                              {"beta_schedule", "scaled_linear"},
                              {"prediction_type", prediction},
                              {"rescale_betas_zero_snr", true}});
  };
  const NoiseSchedule noise = schedule("epsilon"), v = schedule("v_prediction");
  const Tensor last = torch::tensor({999, 998});
  for (const char* name : {"x0", "v", "velocity"}) {
    CAPTURE(name);
    CHECK(space(name, noise)->range(noise).last == 998);
    CHECK(space(name, v)->range(v).last == 999);
    const Noised noised = noised_at(v, last);
    CHECK(space(name, v)->embed(noised, {}, noised.target + 0.5).isfinite().all().item<bool>());
  }
  CHECK(space("epsilon", noise)->range(noise).last == 999);
  // Two timesteps are left to draw from, one of them without an error.
  Objective x0(objective({"loss=sft", "reference=none", "error_space=x0", "t_min=998"}), {.process = noise, .frozen = {}});
  std::vector<uint64_t> ids(200);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = i;
  CHECK(x0.draw(toy_pairs(ids), 0).t.eq(998).all().item<bool>());
  Objective nothing(objective({"loss=sft", "reference=none", "error_space=x0", "t_min=999"}), {.process = noise, .frozen = {}});
  CHECK_THROWS_WITH_AS(nothing.draw(toy_pairs({1}), 0), doctest::Contains("draws none of the timesteps 0 to 998"), UsageError);
}

TEST_CASE("converted: gradients reach the prediction, as finite differences say") {
  const Noised noised = noised_at(toy_schedule(), torch::tensor({400, 900}));
  for (const char* name : {"epsilon", "x0", "v", "velocity"}) {
    CAPTURE(name);
    const auto made = space(name, toy_schedule());
    const auto error = [&](const Tensor& prediction) {
      return (made->embed(noised, {}, prediction) - made->embed(noised, {}, noised.target)).square().flatten(1).mean(1).sum();
    };
    const Tensor along = Generator({3, 1, 0, Purpose::test}).normal(noised.x_t.sizes().vec());
    const Tensor prediction = (noised.target + 0.3 * noised.x0).requires_grad_(true);
    error(prediction).backward();
    const torch::NoGradGuard no_grad;
    // The error is a square, so central differences are exact.
    const double slope = (error(prediction + along) - error(prediction - along)).item<double>() / 2;
    CHECK((prediction.grad() * along).sum().item<double>() == doctest::Approx(slope).epsilon(1e-4));
  }
}
