// Noise-conditioned perception on encoders whose features are multiples of what they see: f(x) = 3 x after the down blocks, 5 x of the
// first two channels after the mid block. With a = abar_t / abar_t', a step leaves of an error e of the predicted noise
//   c e,  c = (1 - a) / (sqrt(a) sqrt(1 - abar_t)),
// so an error of e everywhere gives d = 9 c^2 e^2 (down), 25 c^2 e^2 (mid), and the mean of both, 17 c^2 e^2, for the two together.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/objective/frozen_network.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

// Its features would also carry gradients to its own weight, if they were not taken with the adapters off or from a frozen copy.
class ToyEncoder : public ToyDenoiser {
 public:
  using ToyDenoiser::ToyDenoiser;
  std::vector<Tensor> features(const Tensor& x, const Tensor& t, const Condition& condition,
                               const std::vector<std::string>& taps) override {
    asked.push_back(t);
    CHECK(condition["encoder_hidden_states"].size(0) == x.size(0));
    std::vector<Tensor> all;
    for (const auto& tap : taps) all.push_back(tap == "down_blocks" ? 3 * x : 5 * x.narrow(1, 0, 2));
    return all;
  }
  std::vector<Tensor> asked;  // t of each call
};

double kept(int64_t t) { return toy_schedule().alphas_cumprod()[t].item<double>(); }
double left_of_an_error(int64_t t) {
  const double a = kept(t) / kept(t - 1);
  return (1 - a) / (std::sqrt(a) * std::sqrt(1 - kept(t)));
}

Noised noised_at(const Batch& batch, const std::vector<int64_t>& t, const NoiseSchedule& schedule = toy_schedule()) {
  const auto draw = [&](Purpose purpose) { return Generator({3, 1, 0, purpose}).normal(batch.x0.sizes().vec()); };
  Noised it{.x0 = batch.x0,
            .noise = draw(Purpose::noise),
            .x_t = {},
            .target = {},
            .t = torch::tensor(t),
            .step_noise = draw(Purpose::step_noise)};
  it.x_t = schedule.add_noise(it.x0, it.noise, it.t);
  it.target = schedule.target(it.x0, it.noise, it.t);
  it.process = &schedule;
  return it;
}

struct Space {
  explicit Space(std::vector<std::string> overrides = {}, Denoiser* network = nullptr) {
    overrides.insert(overrides.begin(), "error_space=perceptual");
    made = make_error_space(objective(overrides), {.process = toy_schedule(), .network = network ? network : &encoder, .frozen = {}});
  }
  Tensor d(const Noised& noised, const Batch& batch, const Tensor& prediction) const {
    const Tensor residual = made->embed(noised, batch.condition, prediction) - made->embed(noised, batch.condition, noised.target);
    return residual.square().flatten(1).mean(1);
  }
  ToyEncoder encoder{0.5};
  std::unique_ptr<ErrorSpace> made;
};

}  // namespace

TEST_CASE("perceptual: what a step leaves of an error, at each tap and at both") {
  const Batch batch = toy_pairs({1, 2});
  const Noised noised = noised_at(batch, {1, 160, 500, 999});
  const double published[] = {4.3e-4, 1.7e-5, 3.2e-5, 1.5e-4};  // c^2 as objectives.md computes it
  for (const auto& [tap, times] : {std::pair{"tap=down", 9.0}, {"tap=mid", 25.0}, {"tap=[\"down\", \"mid\"]", 17.0}}) {
    CAPTURE(tap);
    const Space space({tap});
    const Tensor d = space.d(noised, batch, noised.target + 0.5);
    for (int64_t i = 0; i < 4; ++i) {
      const double c = left_of_an_error(noised.t[i].item<int64_t>());
      CHECK(c * c == doctest::Approx(published[i]).epsilon(0.03));
      CHECK(d[i].item<double>() == doctest::Approx(times * c * c * 0.25).epsilon(1e-4));
    }
    CHECK(space.d(noised, batch, noised.target).abs().max().item<double>() == 0);
    expect_equal("it looks at t - 1", space.encoder.asked.back(), torch::tensor(std::vector<int64_t>{0, 159, 499, 998}, torch::kInt64));
  }
}

TEST_CASE("perceptual: at t = 0 there is no step, so nothing is wrong, and t = 0 is not drawn") {
  const Batch batch = toy_pairs({1, 2});
  const Noised noised = noised_at(batch, {0, 0, 5, 5});
  const Space space;
  const Tensor prediction = (noised.target + 100).requires_grad_(true);
  const Tensor d = space.d(noised, batch, prediction);
  CHECK(d.narrow(0, 0, 2).abs().max().item<double>() == 0);
  CHECK(d.narrow(0, 2, 2).min().item<double>() > 0);
  d.sum().backward();
  CHECK(prediction.grad().narrow(0, 0, 2).abs().max().item<double>() == 0);
  ToyEncoder encoder(0.5);
  Objective drawn(objective({"loss=sft", "reference=none", "error_space=perceptual", "t_max=2"}),
                  {.process = toy_schedule(), .network = &encoder, .frozen = {}});
  std::vector<uint64_t> ids(100);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = i;
  const Noising noising = drawn.draw(toy_pairs(ids), 0);
  CHECK(noising.t.eq(1).all().item<bool>());
  CHECK(noising.step_noise.sizes() == noising.noise.sizes());
  CHECK_FALSE(noising.step_noise.allclose(noising.noise));
}

TEST_CASE("perceptual: z is common, so it moves all that is compared alike") {
  const Batch batch = toy_pairs({1, 2});
  Noised noised = noised_at(batch, {400, 7, 900, 1});
  const Space space;
  const Tensor wrong = noised.target + 0.3 * noised.x0, before = space.d(noised, batch, wrong);
  const Tensor there = space.made->embed(noised, batch.condition, wrong);
  noised.step_noise = noised.step_noise + 1;
  expect_close("d", space.d(noised, batch, wrong), before, 1e-4);
  CHECK_FALSE(there.allclose(space.made->embed(noised, batch.condition, wrong)));
}

TEST_CASE("perceptual: the uniform variant noises what was predicted again, to any timestep") {
  const Batch batch = toy_pairs({1, 2});
  Noised noised = noised_at(batch, {400, 400, 400, 400});
  noised.features_t = torch::tensor({0, 100, 400, 999});
  noised.step_noise = Tensor();
  const Space space({"features_timesteps=uniform"});
  const Tensor d = space.d(noised, batch, noised.target + 0.5);
  for (int64_t i = 0; i < 4; ++i) {
    // x0_hat - x0 = -(sigma / alpha) e, so the difference is (sigma' - alpha' sigma / alpha) e, and nothing at t' = t.
    const double now = kept(400), then = kept(noised.features_t[i].item<int64_t>());
    const double c = std::sqrt(1 - then) - std::sqrt(then) * std::sqrt((1 - now) / now);
    CHECK(d[i].item<double>() == doctest::Approx(9 * c * c * 0.25).epsilon(1e-4));
  }
  ToyEncoder encoder(0.5);
  Objective drawn(objective({"loss=sft", "reference=none", "error_space=perceptual", "features_timesteps=uniform"}),
                  {.process = toy_schedule(), .network = &encoder, .frozen = {}});
  std::vector<uint64_t> ids(2000);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = i;
  const Noising noising = drawn.draw(toy_pairs(ids), 0);
  CHECK_FALSE(noising.step_noise.defined());
  const Tensor t = noising.features_t.to(torch::kFloat64);
  CHECK(t.mean().item<double>() == doctest::Approx(499.5).epsilon(0.03));
  CHECK(t.min().item<double>() < 10);
  CHECK(t.max().item<double>() > 989);
  CHECK_FALSE(noising.features_t.equal(noising.t));
}

TEST_CASE("perceptual: what is not given is named") {
  ToyEncoder network(0.5);
  const auto evaluate = [&](const char* variant) {
    Objective made(objective({"loss=sft", "reference=none", "error_space=perceptual", variant}),
                   {.process = toy_schedule(), .network = &network, .frozen = {}});
    const Batch batch = toy_pairs({1, 2});
    Policy policy{network};
    made.evaluate(policy, batch, {.t = torch::tensor({5, 6}), .weight = torch::ones({2}), .noise = torch::zeros({2, 4, 4, 4})});
  };
  CHECK_THROWS_WITH_AS(evaluate("features_timesteps=previous"), doctest::Contains("step_noise: expected the noise z"), UsageError);
  CHECK_THROWS_WITH_AS(evaluate("features_timesteps=uniform"), doctest::Contains("features_timesteps: expected"), UsageError);
}

TEST_CASE("perceptual: on a U-Net gradients reach the policy's LoRA through the frozen encoder, and nothing else") {
  const auto network = load_denoiser(golden("tiny_model/unet"));
  for (auto& weight : network->module().parameters()) weight.set_requires_grad(false);
  Lora lora = Lora::inject(network->module(), {.rank = 2, .targets = {"to_q", "conv1"}}, 0);
  {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, value] : lora.parameters()) value.add_(0.1);
  }
  const Space space({"tap=mid"}, network.get());
  const Batch batch = toy_pairs({1, 2}, {}, 4, 8, 12);
  const Noised noised = noised_at(batch, {400, 7, 400, 7});
  const auto draw = [&](Purpose purpose) { return Generator({5, 1, 0, purpose}).normal(batch.x0.sizes().vec()); };
  const Tensor prediction = (noised.target + 0.5 * draw(Purpose::test)).requires_grad_(true);
  space.d(noised, batch, prediction).sum().backward();
  for (const auto& [name, value] : lora.parameters()) CHECK_FALSE(value.grad().defined());
  {  // Along a direction, against finite differences.
    const torch::NoGradGuard no_grad;
    const Tensor direction = draw(Purpose::world);
    const auto at = [&](double h) { return space.d(noised, batch, prediction + h * direction).sum().item<double>(); };
    CHECK((prediction.grad() * direction).sum().item<double>() == doctest::Approx((at(1e-2) - at(-1e-2)) / 2e-2).epsilon(2e-3));
  }
  // The whole way: sft in this space moves the LoRA by what the chain rule says of the prediction's gradient.
  const Tensor predicted = network->predict(noised.x_t, noised.t, batch.condition.repeat(2));
  space.d(noised, batch, predicted).sum().backward();
  std::vector<Tensor> whole;
  for (const auto& [name, value] : lora.parameters()) whole.push_back(value.grad().clone()), value.mutable_grad() = Tensor();
  const Tensor cut = predicted.detach().requires_grad_(true);
  space.d(noised, batch, cut).sum().backward();
  network->predict(noised.x_t, noised.t, batch.condition.repeat(2)).backward(cut.grad());
  size_t i = 0;
  for (const auto& [name, value] : lora.parameters()) {
    CHECK(value.grad().abs().max().item<double>() > 0);
    expect_close(name, whole[i++], value.grad(), 1e-6);
  }
}

TEST_CASE("perceptual: in full training the encoder is the reference's copy, loaded once") {
  const LoadOptions load;
  const auto first = frozen_network(golden("tiny_model/unet"), load);
  CHECK(first == frozen_network(golden("tiny_model") / "unet", load));
  LoadOptions half;
  half.dtype = torch::kBFloat16;
  CHECK(first != frozen_network(golden("tiny_model/unet"), half));
  ToyEncoder trained(0.5);
  const auto space = make_error_space(objective({"error_space=perceptual"}),
                                      {.process = toy_schedule(), .network = &trained, .frozen = golden("tiny_model/unet")});
  CHECK(first.use_count() == 2);
  const Batch batch = toy_pairs({1, 2}, {}, 4, 8, 12);
  const Noised noised = noised_at(batch, {400, 7, 400, 7});
  CHECK(space->embed(noised, batch.condition, noised.target).sizes() == std::vector<int64_t>{4, 16 * 4 * 4});
  CHECK(trained.asked.empty());
}

TEST_CASE("perceptual: held in bf16 the encoder computes in float32, where it sees what bf16 rounds away") {
  LoadOptions half;
  half.dtype = torch::kBFloat16;
  const auto held = load_denoiser(golden("tiny_model/unet"), half), exact = load_denoiser(golden("tiny_model/unet"), {});
  {  // the same numbers, which bf16 holds
    const torch::NoGradGuard no_grad;
    const auto values = held->module().parameters();
    const auto same = exact->module().parameters();
    for (size_t i = 0; i < values.size(); ++i) same[i].copy_(values[i]);
  }
  const Batch batch = toy_pairs({1, 2}, {}, 4, 8, 12);
  const Noised noised = noised_at(batch, {160, 160, 50, 50});
  const Tensor wrong = noised.target + 0.1 * noised.x0;
  const Tensor right = Space({}, exact.get()).d(noised, batch, wrong);
  // Each is some 5e-4 of d from float64: d is of a thousandth of the features, squared.
  expect_close("float32", Space({}, held.get()).d(noised, batch, wrong), right, 5e-3);
  const auto network = make_error_space(objective({"error_space=perceptual", "features_dtype=network"}),
                                        {.process = toy_schedule(), .network = held.get(), .frozen = {}, .load = half});
  const Tensor rounded =
      (network->embed(noised, batch.condition, wrong) - network->embed(noised, batch.condition, noised.target)).square().mean(1);
  CHECK((rounded / right).min().item<double>() > 2);  // rounding alone
}
