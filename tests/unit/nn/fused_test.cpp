// The operators that keep less for the backward pass, against libtorch's own.
#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include <tuple>

#include "palate/core/generator.h"
#include "palate/nn/frozen_conv.h"
#include "palate/nn/geglu.h"
#include "palate/nn/gradient_checkpoint.h"
#include "palate/nn/group_norm.h"
#include "palate/nn/init.h"
#include "palate/nn/resnet.h"
#include "palate/nn/transformer.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"

namespace palate {

using test::draw;
namespace {

constexpr auto channels_last = torch::MemoryFormat::ChannelsLast;
constexpr auto plain = torch::MemoryFormat::Contiguous;

struct Outcome {
  Tensor value, gradient;
};

// run(x) and the gradient of a weighted sum of it.
template <class Run>
Outcome outcome(const Tensor& x, const Run& run) {
  const Tensor input = x.detach().clone().set_requires_grad(true);
  const Tensor y = run(input);
  (y * draw(y.sizes().vec(), 99).to(y.scalar_type())).sum().backward();
  return {y.detach(), input.grad()};
}

void expect_same(const char* what, const Outcome& found, const Outcome& expected, double tolerance) {
  test::expect_close(std::string(what) + ", output", found.value, expected.value, tolerance);
  test::expect_close(std::string(what) + ", gradient", found.gradient, expected.gradient, tolerance);
}

}  // namespace

TEST_CASE("frozen convolution: libtorch's output and gradient to the bit, without keeping its input") {
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    for (const auto format : {plain, channels_last}) {
      for (const auto& [kernel, stride, padding] : {std::array<int64_t, 3>{3, 1, 1}, {3, 2, 1}, {1, 1, 0}}) {
        const Tensor x = draw({2, 8, 9, 6}, 1).to(dtype).contiguous(format);
        const Tensor weight = draw({16, 8, kernel, kernel}, 2).to(dtype).contiguous(format), bias = draw({16}, 3).to(dtype);
        const auto theirs = outcome(x, [&, s = stride, p = padding](const Tensor& in) { return torch::conv2d(in, weight, bias, s, p); });
        const auto ours = outcome(x, [&, s = stride, p = padding](const Tensor& in) { return conv2d(in, weight, bias, s, p); });
        test::expect_equal("output", ours.value, theirs.value);
        test::expect_equal("gradient", ours.gradient, theirs.gradient);
      }
    }
  }
  const Tensor weight = draw({4, 4, 3, 3}, 4), bias = draw({4}, 5);
  Tensor x = draw({1, 4, 5, 5}, 6).set_requires_grad(true) * 2;
  const c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> input(x.getIntrusivePtr());
  const Tensor y = conv2d(x, weight, bias, 1, 1);
  x = Tensor();
  CHECK(input.expired());
  CHECK(y.requires_grad());
}

TEST_CASE("frozen convolution: a weight or bias that is trained gets its gradient") {
  const Tensor x = draw({2, 3, 5, 5}, 1).set_requires_grad(true);
  for (const bool with_weight : {true, false}) {
    const Tensor weight = draw({4, 3, 3, 3}, 2).set_requires_grad(with_weight), bias = draw({4}, 3).set_requires_grad(!with_weight);
    conv2d(x, weight, bias, 1, 1).pow(2).sum().backward();
    const Tensor w = weight.detach().clone().set_requires_grad(true), b = bias.detach().clone().set_requires_grad(true);
    torch::conv2d(x.detach(), w, b, 1, 1).pow(2).sum().backward();
    if (with_weight) test::expect_close("weight", weight.grad(), w.grad(), 1e-6);
    if (!with_weight) test::expect_close("bias", bias.grad(), b.grad(), 1e-6);
  }
}

TEST_CASE("group norm with SiLU: the formula in float64, for sizes that fill no vector and means far from zero") {
  for (const std::vector<int64_t>& size : {std::vector<int64_t>{2, 20, 7, 11}, {1, 64, 20, 33}, {3, 6, 3, 2}, {2, 32, 1, 600}}) {
    const Tensor weight = draw({size[1]}, 2), bias = draw({size[1]}, 3);
    const int64_t groups = size[1] % 4 ? 2 : 4;
    for (const std::optional<Activation> activation :
         {std::optional<Activation>(), std::optional(Activation::silu), std::optional(Activation::mish)}) {
      for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat32, 1e-6}, {torch::kBFloat16, 0.01}}) {
        const Tensor x = (3 + 2 * draw(size, 1)).to(dtype).contiguous(channels_last);
        const auto exact = outcome(x.to(torch::kDouble), [&](const Tensor& in) {
          const Tensor y = torch::group_norm(in, groups, weight.to(torch::kDouble), bias.to(torch::kDouble), 1e-5);
          return activation ? activate(y, *activation) : y;
        });
        const auto ours = outcome(
            x, [&](const Tensor& in) { return group_norm(in, weight, bias, {.groups = groups, .eps = 1e-5, .activation = activation}); });
        expect_same("channels-last", ours, exact, tolerance);
        const at::NoGradGuard no_grad;
        test::expect_equal("without a graph", group_norm(x, weight, bias, {.groups = groups, .eps = 1e-5, .activation = activation}),
                           ours.value);
      }
    }
  }
}

// Our kernel, libtorch's where another activation follows, and libtorch's for groups of three numbers.
TEST_CASE("group norm: a hundred standard deviations from zero the variance is still the variance") {
  // One rounding of 100 in float32 is 4e-6 of a standard deviation, 1e-6 of the largest value; libtorch rounds x / deviation and mean /
  // deviation before it takes their difference.
  for (const auto& [size, groups, activation, tolerance] :
       {std::tuple{std::vector<int64_t>{1, 8, 64, 64}, 2, std::optional<Activation>(), 2e-6},
        {std::vector<int64_t>{1, 8, 64, 64}, 2, std::optional(Activation::mish), 2e-5},
        {std::vector<int64_t>{1, 4, 1, 3}, 4, std::optional<Activation>(), 2e-5}}) {
    CAPTURE(size[3]);
    const Tensor x = (100 + draw(size, 1)).contiguous(channels_last), one = torch::ones({size[1]}), zero = torch::zeros({size[1]});
    const auto run = [&, groups = groups, activation = activation](const Tensor& in) {
      const Tensor y = torch::group_norm(in, groups, one.to(in.scalar_type()), zero.to(in.scalar_type()), 1e-5);
      return activation ? activate(y, *activation) : y;
    };
    const auto exact = outcome(x.to(torch::kDouble), run);
    const auto ours = outcome(x, [&, groups = groups, activation = activation](const Tensor& in) {
      return group_norm(in, one, zero, {.groups = groups, .eps = 1e-5, .activation = activation});
    });
    expect_same("far from zero", ours, exact, tolerance);
  }
}

TEST_CASE("group norm: a weight that is trained gets its gradient, in any memory format") {
  for (const auto format : {plain, channels_last}) {
    const Tensor x = draw({2, 8, 5, 3}, 1).contiguous(format);  // needs no gradient, as what enters the first block
    const Tensor weight = draw({8}, 2).set_requires_grad(true), bias = draw({8}, 3).set_requires_grad(true);
    group_norm(x, weight, bias, {.groups = 2, .eps = 1e-5, .activation = Activation::silu}).pow(2).sum().backward();
    const Tensor w = weight.detach().clone().set_requires_grad(true), b = bias.detach().clone().set_requires_grad(true);
    torch::silu(torch::group_norm(x.contiguous(), 2, w, b, 1e-5)).pow(2).sum().backward();
    test::expect_close("weight", weight.grad(), w.grad(), 1e-6);
    test::expect_close("bias", bias.grad(), b.grad(), 1e-6);
  }
}

TEST_CASE("geglu: the formula in float64, tails of the normal distribution included") {
  for (const int64_t width : {1, 16, 40}) {
    for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat32, 1e-6}, {torch::kBFloat16, 0.01}}) {
      const Tensor h = (4 * draw({3, 70, 2 * width}, 1)).to(dtype);
      const auto exact = outcome(h.to(torch::kDouble), [](const Tensor& in) {
        const auto halves = in.chunk(2, -1);
        return halves[0] * torch::gelu(halves[1]);
      });
      expect_same("geglu", outcome(h, [](const Tensor& in) { return geglu(in); }), exact, tolerance);
    }
  }
}

TEST_CASE("blocks: channels-last changes nothing, with and without gradient checkpointing") {
  ResnetBlock2D resnet({.in = 16, .out = 32, .time = 8, .groups = 4});
  Transformer2DModel transformer({.channels = 32, .context = 12, .heads = 2, .layers = 1, .groups = 4});
  init_weights(resnet, 1);
  init_weights(transformer, 2);
  const Tensor x = draw({2, 16, 6, 5}, 1), time = draw({2, 8}, 2), text = draw({2, 7, 12}, 3);
  const auto run = [&](const std::vector<Tensor>& in) { return transformer.forward(resnet.forward(in[0], time), text, {}); };
  const auto expected = outcome(x, [&](const Tensor& in) { return run({in}); });
  const Tensor rows = x.contiguous(channels_last);
  const auto once = outcome(rows, [&](const Tensor& in) { return run({in}); });
  const auto twice = outcome(rows, [&](const Tensor& in) { return checkpointed(run, {in}); });
  expect_same("channels-last", once, expected, 2e-6);
  test::expect_equal("checkpointed", twice.value, once.value);
  test::expect_equal("checkpointed gradient", twice.gradient, once.gradient);
}

}  // namespace palate
