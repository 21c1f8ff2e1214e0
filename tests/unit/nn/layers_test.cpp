#include "palate/nn/layers.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/nn/init.h"
#include "palate/nn/resnet.h"
#include "palate/nn/transformer.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"

namespace palate {

using test::draw;
namespace {

// Adds twice the layer's own product with its base weight: W x + b + 2 W x.
class Twice : public Adapter {
 public:
  explicit Twice(Adaptable& layer) : layer_(layer) {}
  Tensor delta(const Tensor& input) override { return 2 * layer_.with_weight(input, layer_.base_weight()); }

 private:
  Adaptable& layer_;
};

template <class Layer>
void expect_adapter_adds(Layer& layer, const Tensor& x) {
  const Tensor base = layer.forward(x);
  const Tensor product = layer.with_weight(x, layer.base_weight());
  layer.adapters.push_back(std::make_shared<Twice>(layer));
  test::expect_close("with its adapter", layer.forward(x), base + 2 * product, 1e-6);
  {
    const AdaptersOff off;
    CHECK_FALSE(adapters_on());
    test::expect_equal("adapters off: the base to the bit", layer.forward(x), base);
    { const AdaptersOff nested; }
    CHECK_FALSE(adapters_on());
  }
  CHECK(adapters_on());
}

}  // namespace

TEST_CASE("linear and conv2d: an adapter's delta is added, and off it is the base to the bit") {
  Linear linear(3, 5);
  Conv2d conv(4, 6, {.kernel = 3, .stride = 2, .padding = 1});
  at::NoGradGuard no_grad;
  linear.weight.copy_(draw({5, 3}));
  linear.bias.copy_(draw({5}, 1));
  conv.weight.copy_(draw({6, 4, 3, 3}, 2));
  conv.bias.copy_(draw({6}, 3));
  expect_adapter_adds(linear, draw({2, 7, 3}, 4));
  expect_adapter_adds(conv, draw({2, 4, 5, 8}, 5));
}

TEST_CASE("layers: float32 weights compute in the input's dtype, and their gradient comes back in float32") {
  Linear linear(4, 4);
  GroupNorm norm(2, 4, 1e-5);
  {
    at::NoGradGuard no_grad;
    linear.weight.copy_(draw({4, 4}));
    linear.bias.zero_();
    norm.weight.fill_(1);
    norm.bias.zero_();
  }
  linear.weight.set_requires_grad(true);
  const Tensor x = draw({2, 3, 4}, 1).to(torch::kBFloat16);
  const Tensor y = linear.forward(x);
  CHECK((y.scalar_type() == torch::kBFloat16));
  y.sum().backward();
  CHECK((linear.weight.grad().scalar_type() == torch::kFloat));
  CHECK((norm.forward(x.transpose(1, 2)).scalar_type() == torch::kBFloat16));
}

TEST_CASE("group norm: its statistics are float32's where a bf16 sum would be lost") {
  // 4096 values of 100 + noise: summed in bf16 the mean would stop growing at 2^8 times the step.
  GroupNorm norm(1, 1, 1e-5);
  at::NoGradGuard no_grad;
  norm.weight.fill_(1);
  norm.bias.zero_();
  const Tensor x = (100 + 4 * draw({1, 1, 64, 64})).to(torch::kBFloat16);
  const Tensor exact = (x.to(torch::kFloat) - x.to(torch::kFloat).mean()) / x.to(torch::kFloat).std(false);
  test::expect_close("normalised", norm.forward(x), exact, 0.01);
}

TEST_CASE("for_each_adaptable: layers by diffusers' full names in the model's order") {
  TransformerOptions options{.channels = 8, .context = 6, .heads = 2, .layers = 1, .groups = 4};
  Transformer2DModel model(options);
  std::vector<std::string> names;
  for_each_adaptable(model, [&](const std::string& name, Adaptable& layer) {
    names.push_back(name);
    CHECK(layer.base_weight().dim() >= 2);
  });
  const std::string block = "transformer_blocks.0.";
  CHECK(names == std::vector<std::string>{"proj_in", block + "attn1.to_q", block + "attn1.to_k", block + "attn1.to_v",
                                          block + "attn1.to_out.0", block + "attn2.to_q", block + "attn2.to_k", block + "attn2.to_v",
                                          block + "attn2.to_out.0", block + "ff.net.0.proj", block + "ff.net.2", "proj_out"});
}

TEST_CASE("init_weights: PyTorch's rules, keyed by seed and name") {
  ResnetOptions options{.in = 8, .out = 16, .time = 4, .groups = 4};
  ResnetBlock2D a(options), b(options), c(options);
  init_weights(a, 5);
  init_weights(b, 5);
  init_weights(c, 6);
  const auto pa = a.named_parameters(), pb = b.named_parameters(), pc = c.named_parameters();
  for (const auto& item : pa) test::expect_equal(item.key(), pb[item.key()], item.value());
  CHECK_FALSE(torch::equal(pa["conv1.weight"], pc["conv1.weight"]));
  CHECK(torch::equal(pa["norm1.weight"], torch::ones({8})));
  CHECK(torch::equal(pa["norm1.bias"], torch::zeros({8})));
  // Uniform within 1 / sqrt(fan in): fan in 8 * 9 = 72. Of 1152 draws the largest is within 2% of the bound.
  const double bound = 1 / std::sqrt(72.0), largest = pa["conv1.weight"].abs().max().item<double>();
  CHECK(largest <= bound);
  CHECK(largest > 0.98 * bound);
  CHECK(pa["conv1.weight"].pow(2).mean().item<double>() == doctest::Approx(bound * bound / 3).epsilon(0.1));
}

TEST_CASE("timestep embedding: the formula, its two orders, and an odd width") {
  // Width 4: frequencies 10000^(-i / 2) = 1 and 0.01.
  const Tensor t = torch::tensor({3.0f});
  const Tensor flipped = timestep_sinusoids(t, {.size = 4});
  const Tensor expected = torch::tensor({{std::cos(3.0), std::cos(0.03), std::sin(3.0), std::sin(0.03)}});
  test::expect_close("cosines first", flipped, expected, 1e-6);
  const Tensor plain = timestep_sinusoids(t, {.size = 5, .flip_sin_to_cos = false});
  CHECK(plain.size(1) == 5);
  test::expect_close("sines first", plain.narrow(1, 0, 2), expected.narrow(1, 2, 2), 1e-6);
  CHECK(plain[0][4].item<double>() == 0);
  // freq_shift 1: frequencies 10000^(-i / (2 - 1)) = 1 and 0.0001.
  const Tensor shifted = timestep_sinusoids(t, {.size = 4, .flip_sin_to_cos = true, .freq_shift = 1});
  CHECK(shifted[0][3].item<double>() == doctest::Approx(std::sin(3e-4)).epsilon(1e-5));
}

TEST_CASE("group norm: channels that do not divide are refused with the numbers") {
  CHECK_THROWS_WITH_AS(GroupNorm(4, 6, 1e-5), doctest::Contains("6 channels cannot be divided into 4 groups"), UsageError);
}

}  // namespace palate
