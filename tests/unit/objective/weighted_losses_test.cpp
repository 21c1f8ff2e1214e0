// DreamBooth and reward-weighted regression by hand: mean squared errors d = (0.30, 0.50) with weights.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

struct TwoPictures {
  Tensor d = torch::tensor({0.30, 0.50}, torch::kFloat64).requires_grad_(true);
  Batch batch;
  Noised noised;
  TwoPictures() { batch.visits = {{}, {}}; }
  LossOutput operator()(const Loss& loss) const { return loss({{d, {}}, {}, batch, noised}, {}); }
};

}  // namespace

TEST_CASE("dreambooth: the mean over the batch of weight times error, which with halves is half of mean(subject) + lambda mean(class)") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective made = toy_objective({"loss=dreambooth"}, -1);
  Batch batch = toy_pairs({1, 2, 3, 4}).first_view();
  const Noising plain = made.draw(batch, 0);
  const Tensor d = made.evaluate(policy, batch, plain).losses.detach();
  batch.prior = torch::tensor({false, true, false, true});
  batch.weight = torch::tensor({1.F, 0.25F, 1.F, 0.25F});
  const ObjectiveOutput out = made.evaluate(policy, batch, made.draw(batch, 0));
  const Tensor subject = (d[0] + d[2]) / 2, of_class = (d[1] + d[3]) / 2;
  expect_close("loss", out.loss.detach(), (subject + 0.25 * of_class) / 2, 1e-6);
  CHECK(out.metrics.at("prior") == doctest::Approx((of_class / 2).item<double>()));
  CHECK_FALSE(plain.noise[0].equal(plain.noise[1]));  // each picture has noise and timestep of its own
  CHECK(made.needs().reference == false);
}

TEST_CASE("dreambooth: the gradient of an error is one") {
  TwoPictures p;
  p(*make_loss(objective({"loss=dreambooth"}))).loss.sum().backward();
  expect_close("gradient", p.d.grad(), torch::ones({2}, torch::kFloat64), 0);
}

TEST_CASE("rwr: exp(r / temperature) over its mean: rewards of 0 and log 3 weigh 1/2 and 3/2") {
  TwoPictures p;
  p.batch.reward = torch::tensor({0.0, std::log(3.0)}, torch::kFloat64);
  const auto loss = make_loss(objective({"loss=rwr"}));
  loss->set_rewards(p.batch.reward);
  const LossOutput out = p(*loss);
  expect_close("loss", out.loss.detach(), torch::tensor({0.15, 0.75}, torch::kFloat64), 1e-12);
  expect_close("weight", out.terms.at("reward_weight"), torch::tensor({0.5, 1.5}, torch::kFloat64), 1e-12);
  out.loss.sum().backward();
  expect_close("gradient", p.d.grad(), torch::tensor({0.5, 1.5}, torch::kFloat64), 1e-12);
  // At temperature 1/2 the better one weighs 9 times as much: 1/5 and 9/5.
  const auto sharp = make_loss(objective({"loss=rwr", "temperature=0.5"}));
  sharp->set_rewards(p.batch.reward);
  expect_close("sharp", p(*sharp).terms.at("reward_weight"), torch::tensor({0.2, 1.8}, torch::kFloat64), 1e-12);
}

TEST_CASE("rwr: the mean is over all rewards and not over the batch, and large rewards do not overflow") {
  TwoPictures p;
  p.batch.reward = torch::tensor({1000.0, 1000.0 + std::log(3.0)}, torch::kFloat64);
  const auto loss = make_loss(objective({"loss=rwr"}));
  loss->set_rewards(torch::tensor({1000.0, 1000.0, 1000.0, 1000.0 + std::log(3.0)}, torch::kFloat64));  // mean of exp: 6/4 e^1000
  expect_close("weight", p(*loss).terms.at("reward_weight"), torch::tensor({2.0 / 3, 2.0}, torch::kFloat64), 1e-9);
  CHECK_THROWS_AS(loss->set_rewards(Tensor()), UsageError);
}

TEST_CASE("rwr: a batch without rewards is refused; finite differences through the objective") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  Objective made = toy_objective({"loss=rwr"}, -1);
  Batch batch = toy_pairs({1, 2}).first_view();
  const Noising noising = made.draw(batch, 0);
  CHECK_THROWS_WITH_AS(made.evaluate(policy, batch, noising), doctest::Contains("the batch has none"), UsageError);
  batch.reward = torch::tensor({0.F, 1.F});
  made.set_rewards(batch.reward);
  const auto loss_at = [&](double gain) {
    ToyDenoiser moved(gain);
    Policy other{moved};
    return made.evaluate(other, batch, noising).loss.item<double>();
  };
  made.evaluate(policy, batch, noising).loss.backward();
  CHECK(network.gain().grad().item<double>() == doctest::Approx((loss_at(0.71) - loss_at(0.69)) / 0.02).epsilon(1e-3));
}

TEST_CASE("single pictures: in any error space the formulas are the same; v's errors are those of the noise over alpha squared") {
  ToyDenoiser network(0.7);
  Policy policy{network};
  const Batch batch = toy_pairs({1, 2, 3}).first_view();
  Objective plain = toy_objective({"loss=dco", "beta=0.1"});
  const Noising noising = plain.draw(batch, 0);
  const ObjectiveOutput own = plain.evaluate(policy, batch, noising);
  const Tensor alpha_squared = toy_schedule().alphas_cumprod().index_select(0, noising.t.to(torch::kInt64)).to(torch::kFloat32);
  for (const std::string loss : {"dco", "dreambooth", "sft"}) {
    std::vector<std::string> settings = {"loss=" + loss, "error_space=v"};
    if (loss == "dco") settings.emplace_back("beta=0.1");
    const ObjectiveOutput out = toy_objective(settings).evaluate(policy, batch, noising);
    expect_close("policy", out.policy * alpha_squared, own.policy, 1e-4);
    const Tensor expected = loss == "dco" ? -at::log_sigmoid(0.1 * (out.reference - out.policy)) : out.policy;
    expect_close("losses", out.losses.detach(), expected, 1e-6);
  }
}
