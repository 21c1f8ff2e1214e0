#include "tests/parity/models/gradients.h"

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>

namespace palate::test {
namespace {

// Tensors of a few hundred numbers: a second thread only waits.
[[maybe_unused]] const bool one_thread = (at::set_num_threads(1), true);

}  // namespace

void require_gradients(torch::nn::Module& model) {
  for (auto& parameter : model.parameters()) parameter.set_requires_grad(true);
}

double gradient_error(torch::nn::Module& model, const GoldenFile& golden) {
  // Some gradients are zero by algebra (a key's bias shifts all scores alike, a shift before a norm over that channel alone):
  // what is left there is rounding. So a tensor's scale is its own largest entry, but at least a hundredth of the model's.
  double largest = 0, worst = 0;
  for (const auto& [name, value] : golden.values()) {
    if (name.starts_with("grad.")) largest = std::max(largest, value.abs().max().item<double>());
  }
  for (const auto& item : model.named_parameters()) {
    if (!golden.contains("grad." + item.key())) continue;
    const Tensor& expected = golden.at("grad." + item.key());
    const double scale = std::max(expected.abs().max().item<double>(), 1e-2 * largest);
    const double error = (item.value().grad() - expected).abs().max().item<double>() / scale;
    if (!(error <= worst)) worst = error;  // NaN stays
  }
  return worst;
}

void expect_gradients(torch::nn::Module& model, const GoldenFile& golden) {
  int64_t expected = 0, compared = 0;
  for (const auto& [name, value] : golden.values()) expected += name.starts_with("grad.") ? 1 : 0;
  for (const auto& item : model.named_parameters()) {
    INFO(item.key());
    const std::string key = "grad." + item.key();
    REQUIRE(item.value().grad().defined() == golden.contains(key));
    if (!golden.contains(key)) continue;
    REQUIRE(item.value().grad().sizes() == golden.at(key).sizes());
    ++compared;
  }
  CHECK(compared == expected);
  const double error = gradient_error(model, golden), bound = golden.bound("grad");
  INFO("the worst of ", compared, " gradients is ", error, " away, bound ", bound);
  CHECK(error <= bound);
}

}  // namespace palate::test
