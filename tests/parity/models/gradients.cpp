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

void expect_gradients(torch::nn::Module& model, const Golden& golden, double bound) {
  // Some gradients are zero by algebra (a key's bias shifts all scores alike, a shift before a norm over that channel alone):
  // what is left there is rounding. So a tensor's scale is its own largest entry, but at least a hundredth of the model's.
  double largest = 0;
  for (const auto& [name, value] : golden) {
    if (name.starts_with("grad.")) largest = std::max(largest, value.abs().max().item<double>());
  }
  size_t compared = 0;
  double worst = 0;
  for (const auto& item : model.named_parameters()) {
    const auto expected = golden.find("grad." + item.key());
    INFO(item.key());
    if (expected == golden.end()) {
      CHECK_FALSE(item.value().grad().defined());
      continue;
    }
    REQUIRE(item.value().grad().defined());
    REQUIRE(item.value().grad().sizes() == expected->second.sizes());
    const double scale = std::max(expected->second.abs().max().item<double>(), 1e-2 * largest);
    const double error = (item.value().grad() - expected->second).abs().max().item<double>() / scale;
    INFO("relative error ", error, ", bound ", bound);
    CHECK(error <= bound);
    worst = std::max(worst, error);
    ++compared;
  }
  MESSAGE("worst of ", compared, " gradients: ", worst);
  CHECK(compared ==
        static_cast<size_t>(std::count_if(golden.begin(), golden.end(), [](const auto& e) { return e.first.starts_with("grad."); })));
}

}  // namespace palate::test
