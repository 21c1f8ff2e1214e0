// DCO by hand. Three pictures with d = (0.30, 0.52, 0.20) and reference (0.33, 0.50, 0.40): gains (0.03, -0.02, 0.20).
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Pictures {
  Tensor d = torch::tensor({0.30, 0.52, 0.20}, torch::kFloat64).requires_grad_(true);
  Tensor reference = torch::tensor({0.33, 0.50, 0.40}, torch::kFloat64);
  Batch batch;
  Noised noised;
  Pictures() { batch.visits = {{}, {}, {}}; }
};

LossOutput run(const Pictures& p, std::vector<std::string> constants = {}) {
  constants.insert(constants.begin(), "loss=dco");
  return (*make_loss(objective(constants)))({{p.d, {}}, {p.reference, {}}, p.batch, p.noised}, {});
}

double log_sigma(double z) { return -std::log1p(std::exp(-z)); }

}  // namespace

TEST_CASE("dco: z = -beta (d - d_ref) without a half, and -log sigmoid(z) of each picture") {
  const Pictures p;
  const LossOutput out = run(p, {"beta=100"});
  expect_close("z", out.logits.detach(), torch::tensor({3.0, -2.0, 20.0}, torch::kFloat64), 1e-12);
  const double expected[] = {-log_sigma(3), -log_sigma(-2), -log_sigma(20)};
  for (int64_t i = 0; i < 3; ++i) CHECK(out.loss[i].item<double>() == doctest::Approx(expected[i]).epsilon(1e-12));
  // 1000 unless something else is said, in the paper's convention; Diffusion-DPO's has the half.
  expect_close("z", run(p).logits.detach(), 10 * out.logits.detach(), 1e-12);
  expect_close("z", run(p, {"beta=200", "beta_convention=palate"}).logits.detach(), out.logits.detach(), 1e-12);
  expect_close("z", run(p, {"beta=0.2", "beta_convention=per-T"}).logits.detach(), out.logits.detach(), 1e-12);
}

TEST_CASE("dco: the gradient is beta sigmoid(-z), which is gone once the policy beats the base by a few 1/beta; finite differences agree") {
  Pictures p;
  run(p, {"beta=100"}).loss.sum().backward();
  const double z[] = {3, -2, 20};
  for (int64_t i = 0; i < 3; ++i) CHECK(p.d.grad()[i].item<double>() == doctest::Approx(100 / (1 + std::exp(z[i]))).epsilon(1e-10));
  CHECK(p.d.grad()[2].item<double>() < 1e-6);
  const auto total = [](double step) {
    Pictures moved;
    moved.d = moved.d.detach() + torch::tensor({step, 2 * step, -step}, torch::kFloat64);
    return run(moved, {"beta=100"}).loss.sum().item<double>();
  };
  const Tensor& g = p.d.grad();
  const double along = (g[0] + 2 * g[1] - g[2]).item<double>();
  CHECK((total(1e-6) - total(-1e-6)) / 2e-6 == doctest::Approx(along).epsilon(1e-6));
}

TEST_CASE("dco: min-SNR weighs both errors, inside the sigmoid; pictures of the class are plain errors without it") {
  Pictures p;
  p.noised.error_weight = torch::tensor({0.5, 1.0, 0.1}, torch::kFloat64);
  p.batch.prior = torch::tensor({false, false, true});
  const LossOutput out = run(p, {"beta=100"});
  expect_close("z", out.logits.detach(), torch::tensor({1.5, -2.0, 2.0}, torch::kFloat64), 1e-12);
  CHECK(out.loss[0].item<double>() == doctest::Approx(-log_sigma(1.5)));
  CHECK(out.loss[2].item<double>() == 0.20);
  CHECK(out.terms.at("prior").sum().item<double>() == doctest::Approx(0.20));
  out.loss.sum().backward();
  CHECK(p.d.grad()[2].item<double>() == 1);
}

TEST_CASE("dco: the objective gives it the weights of min-SNR and applies them once; an example's own weight stays outside") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  Batch batch = toy_pairs({1, 2, 3}).first_view();
  Objective plain = toy_objective({"loss=dco", "beta=0.1"}), made = toy_objective({"loss=dco", "beta=0.1", "snr_gamma=5"});
  const Noising noising = made.draw(batch, 0);
  const Tensor z = plain.evaluate(policy, batch, noising).terms.logits.detach(), w = min_snr_weight(toy_schedule(), noising.t, 5);
  const ObjectiveOutput out = made.evaluate(policy, batch, noising);
  expect_close("losses", out.losses.detach(), -at::log_sigmoid(w * z), 1e-6);
  batch.weight = torch::tensor({1.F, 0.5F, 2.F});
  expect_close("weighed", made.evaluate(policy, batch, made.draw(batch, 0)).losses.detach(), out.losses.detach() * batch.weight, 1e-6);
}

TEST_CASE("dco: a policy that is the base gives log 2, and the base is asked for the base prompts") {
  struct Reader : ToyDenoiser {  // predicts what it reads
    Reader() : ToyDenoiser(1) {}
    Tensor predict(const Tensor& x_t, const Tensor&, const Condition& c) override {
      return gain() * x_t * c["encoder_hidden_states"].mean({1, 2}).view({-1, 1, 1, 1});
    }
  };
  struct Same : Reference {
    Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
      return run(policy.network, policy.condition(batch, Prompts::base));
    }
  };
  Reader network;
  Policy policy{network};
  Objective made(objective({"loss=dco"}), {.process = toy_schedule(), .frozen = {}});
  made.set_reference(std::make_unique<Same>());
  Batch batch = toy_pairs({1, 2}).first_view();
  const Noising noising = made.draw(batch, 0);
  expect_close("log 2", made.evaluate(policy, batch, noising).losses.detach(), torch::full({2}, std::log(2.F)), 1e-6);
  batch.base_condition = Condition{{"encoder_hidden_states", torch::zeros({2, 5, 3})}};  // so that the reference predicts 0
  const ObjectiveOutput out = made.evaluate(policy, batch, noising);
  expect_close("reference", out.reference, noising.noise.square().flatten(1).mean(1), 1e-5);
}
