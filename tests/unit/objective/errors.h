// One pair's errors, in float64, and what a loss sees of them.
#pragma once

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/objective/loss.h"

namespace palate::test {

struct Errors {
  Errors(double dw = 0.30, double dl = 0.50, double rw = 0.32, double rl = 0.49, double p = 1)
      : policy(torch::tensor({dw, dl}, torch::kFloat64)), reference(torch::tensor({rw, rl}, torch::kFloat64)) {
    batch.views = 2;
    batch.visits = {{}};
    batch.label = torch::tensor({p}, torch::kFloat64);
  }
  Statistics statistics() const { return {{policy, {}}, {reference, {}}, batch, noised}; }
  Tensor policy, reference;  // d [2]: preferred, rejected
  Batch batch;
  Noised noised;
};

inline double value(const Tensor& tensor) { return tensor.item<double>(); }
inline double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
inline double log_sigmoid(double z) { return -std::log1p(std::exp(-z)); }

// The gradient of the loss in the policy's errors, against central differences.
inline void expect_gradient(const Loss& loss, Errors e) {
  e.policy.requires_grad_(true);
  loss(e.statistics(), {}).loss.sum().backward();
  const double h = 1e-6;
  for (int64_t i = 0; i < 2; ++i) {
    const auto moved = [&](double by) {
      Errors other = e;
      other.policy = e.policy.detach().clone();
      other.policy[i] += by;
      return value(loss(other.statistics(), {}).loss);
    };
    CHECK(value(e.policy.grad()[i]) == doctest::Approx((moved(h) - moved(-h)) / (2 * h)).epsilon(1e-6));
  }
}

}  // namespace palate::test
