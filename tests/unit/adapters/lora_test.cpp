#include "palate/adapters/lora.h"

#include <doctest/doctest.h>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/unit/adapters/toy_model.h"

using namespace palate;
using namespace palate::test;

namespace {

Tensor parameter(const Lora& lora, const std::string& name) {
  for (const auto& [key, value] : lora.parameters()) {
    if (key == name) return value;
  }
  FAIL("no parameter " << name);
  return {};
}

void set(const Lora& lora, const std::string& name, const Tensor& value) {
  const torch::NoGradGuard no_grad;
  parameter(lora, name).copy_(value);
}

}  // namespace

TEST_CASE("lora: a linear layer computes x W^T + alpha / rank x A^T B^T") {
  ToyModel model;
  auto lora = Lora::inject(model, {.rank = 2, .alpha = 3, .targets = {"to_q"}}, 0);
  CHECK(lora.layers() == 1);
  const Tensor x = wave({2, 7, 5}, 0.1), a = wave({2, 5}, 1), b = wave({6, 2}, 2);
  set(lora, "blocks.0.to_q.lora_A.weight", a);
  set(lora, "blocks.0.to_q.lora_B.weight", b);
  const Tensor merged = model.to_q->weight + 1.5 * b.matmul(a);
  expect_close("output", model.to_q->forward(x), at::linear(x, merged), 1e-6);
  lora.set_weight(0.5);
  expect_close("half weight", model.to_q->forward(x), at::linear(x, model.to_q->weight + 0.75 * b.matmul(a)), 1e-6);
}

TEST_CASE("lora: a convolution keeps its geometry; the merged kernel is sum over r of B[:, r] A[r]") {
  ToyModel model;
  auto lora = Lora::inject(model, {.rank = 4, .alpha = 2, .targets = {"conv"}}, 0);
  const Tensor x = wave({2, 2, 6, 5}, 0.2), a = wave({4, 2, 3, 2}, 1), b = wave({3, 4, 1, 1}, 2);
  set(lora, "blocks.1.conv.lora_A.weight", a);
  set(lora, "blocks.1.conv.lora_B.weight", b);
  const Tensor update = b.flatten(1).matmul(a.flatten(1)).view({3, 2, 3, 2});
  expect_close("output", model.conv->forward(x), model.conv->with_weight(x, model.conv->weight + 0.5 * update), 1e-6);
}

TEST_CASE("lora: fresh adapters change nothing, and A has the spread 1 / rank") {
  ToyModel model;
  const Tensor x = wave({3, 5}, 0.3), before = model.to_q->forward(x);
  auto lora = Lora::inject(model, {.rank = 64, .targets = {"to_q", "to_out.0"}}, 7);
  expect_equal("output", model.to_q->forward(x), before);
  CHECK(lora.layers() == 2);
  const Tensor a = parameter(lora, "blocks.0.to_q.lora_A.weight").detach();
  CHECK(a.std().item<double>() == doctest::Approx(1.0 / 64).epsilon(0.15));  // 320 values: the spread is known to 4%
  CHECK(std::abs(a.mean().item<double>()) < 4.0 / 64 / std::sqrt(320.0));
}

TEST_CASE("lora: the first weights depend on seed and name, not on what else is adapted") {
  ToyModel one, two, three;
  const auto a = Lora::inject(one, {.targets = {"to_out.0"}}, 5);
  const auto b = Lora::inject(two, {.targets = {"to_q", "to_out.0", "conv"}}, 5);
  const auto c = Lora::inject(three, {.targets = {"to_out.0"}}, 6);
  const std::string name = "blocks.0.to_out.0.lora_A.weight";
  expect_equal("same seed", parameter(a, name).detach(), parameter(b, name).detach());
  CHECK_FALSE(torch::equal(parameter(a, name), parameter(c, name)));
}

TEST_CASE("lora: gradients in bf16 reach float32 parameters") {
  ToyModel model;
  model.to_q->weight.set_data(model.to_q->weight.to(torch::kBFloat16));
  auto lora = Lora::inject(model, {.rank = 2, .targets = {"to_q"}}, 0);
  set(lora, "blocks.0.to_q.lora_B.weight", wave({6, 2}, 2));
  const Tensor x = wave({4, 5}, 0.4);
  model.to_q->forward(x.to(torch::kBFloat16)).to(torch::kFloat32).square().sum().backward();
  const Tensor a = parameter(lora, "blocks.0.to_q.lora_A.weight"), b = parameter(lora, "blocks.0.to_q.lora_B.weight");
  CHECK((a.scalar_type() == torch::kFloat32));
  REQUIRE(a.grad().defined());
  // y = x W^T + (x A^T) B^T, L = sum y^2: dB = 2 y^T (x A^T), dA = 2 (y B)^T x.
  const Tensor w = model.to_q->weight.to(torch::kFloat32), y = x.matmul(w.t()) + x.matmul(a.detach().t()).matmul(b.detach().t());
  expect_close("dB", b.grad(), 2 * y.t().matmul(x.matmul(a.detach().t())), 0.02);  // bf16 has 8 bits: 0.4% a product
  expect_close("dA", a.grad(), 2 * y.matmul(b.detach()).t().matmul(x), 0.02);
}

TEST_CASE("lora: off by the guard and gone by remove(), to the bit") {
  ToyModel model;
  const Tensor x = wave({3, 5}, 0.3), before = model.to_q->forward(x);
  auto lora = Lora::inject(model, {.rank = 2, .targets = {"to_q"}}, 0);
  set(lora, "blocks.0.to_q.lora_B.weight", wave({6, 2}, 2));
  CHECK_FALSE(torch::equal(model.to_q->forward(x), before));
  {
    const AdaptersOff off;
    expect_equal("guard", model.to_q->forward(x), before);
    { const AdaptersOff inner; }
    expect_equal("after an inner guard", model.to_q->forward(x), before);
  }
  CHECK_FALSE(torch::equal(model.to_q->forward(x), before));
  lora.remove();
  expect_equal("removed", model.to_q->forward(x), before);
  CHECK(lora.layers() == 0);
}

TEST_CASE("lora: two adapters add up") {
  ToyModel model;
  const Tensor x = wave({3, 5}, 0.3), base = model.to_q->forward(x);
  auto one = Lora::inject(model, {.rank = 2, .targets = {"to_q"}}, 0);
  set(one, "blocks.0.to_q.lora_B.weight", wave({6, 2}, 2));
  const Tensor first = model.to_q->forward(x);
  auto two = Lora::inject(model, {.rank = 3, .targets = {"to_q"}}, 1);
  set(two, "blocks.0.to_q.lora_B.weight", wave({6, 3}, 4));
  const Tensor both = model.to_q->forward(x);
  one.remove();
  expect_close("sum", both - base, (first - base) + (model.to_q->forward(x) - base), 1e-5);
}

TEST_CASE("lora dropout: masks are keyed by sample, so a batch split changes no draw") {
  ToyModel model;
  auto lora = Lora::inject(model, {.rank = 2, .dropout = 0.5, .targets = {"to_q"}}, 0);
  set(lora, "blocks.0.to_q.lora_B.weight", wave({6, 2}, 2));
  const Tensor x = wave({4, 8, 5}, 0.3);
  const Tensor plain = model.to_q->forward(x);  // not training: nothing is dropped
  lora.set_training(true);
  CHECK_THROWS_AS(model.to_q->forward(x), Error);  // no draw yet
  const std::vector<uint64_t> ids = {10, 11, 12, 13};
  lora.set_dropout_draw(3, ids, 9);
  const Tensor whole = model.to_q->forward(x);
  CHECK_FALSE(torch::equal(whole, plain));
  for (int64_t i = 0; i < 4; ++i) {
    lora.set_dropout_draw(3, {ids[static_cast<size_t>(i)]}, 9);
    expect_close("row", model.to_q->forward(x.narrow(0, i, 1)), whole.narrow(0, i, 1), 1e-6);
  }
  // Winner and loser of a pair, one after the other in a batch of 2B, share the mask.
  lora.set_dropout_draw(3, ids, 9);
  const Tensor twice = model.to_q->forward(torch::cat({x, x}));
  expect_equal("pair", twice.narrow(0, 0, 4), twice.narrow(0, 4, 4));
  lora.set_dropout_draw(3, ids, 10);
  CHECK_FALSE(torch::equal(model.to_q->forward(x), whole));
  lora.set_training(false);
  expect_equal("off again", model.to_q->forward(x), plain);
}

TEST_CASE("lora dropout: the mean over draws is the undropped update") {
  ToyModel model;
  auto lora = Lora::inject(model, {.rank = 2, .dropout = 0.25, .targets = {"to_q"}}, 0);
  set(lora, "blocks.0.to_q.lora_B.weight", wave({6, 2}, 2));
  const Tensor x = wave({1, 5}, 0.3), plain = model.to_q->forward(x), base = at::linear(x, model.to_q->weight);
  lora.set_training(true);
  Tensor sum = torch::zeros_like(plain);
  for (uint64_t draw = 0; draw < 4000; ++draw) {
    lora.set_dropout_draw(1, {1}, draw);
    sum += (model.to_q->forward(x) - base).detach();
  }
  expect_close("mean", sum / 4000, plain - base, 0.05);  // spread of one draw is about the update; over sqrt(4000), with room
}

TEST_CASE("lora: a target that no layer has is named") {
  ToyModel model;
  CHECK_THROWS_WITH_AS(Lora::inject(model, {.targets = {"to_q", "to_qq"}}, 0), doctest::Contains("'to_qq'"), UsageError);
}
