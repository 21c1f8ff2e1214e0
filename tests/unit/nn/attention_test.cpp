#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/core/generator.h"
#include "palate/nn/attention.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"

namespace palate {

using test::draw;
namespace {

// softmax(q k^T / sqrt(D)) v with every step written out, in float64.
Tensor by_formula(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads) {
  const int64_t size = q.size(2) / heads;
  std::vector<Tensor> parts;
  for (int64_t h = 0; h < heads; ++h) {
    const auto head = [&](const Tensor& x) { return x.narrow(2, h * size, size).to(torch::kDouble); };
    const Tensor scores = head(q).matmul(head(k).transpose(1, 2)) / std::sqrt(static_cast<double>(size));
    parts.push_back(scores.softmax(-1).matmul(head(v)));
  }
  return torch::cat(parts, 2);
}

}  // namespace

TEST_CASE("attention: equals the formula, for any head count") {
  for (const int64_t heads : {1, 2, 6}) {
    const Tensor q = draw({2, 7, 12}, 1), k = draw({2, 5, 12}, 2), v = draw({2, 5, 12}, 3);
    test::expect_close("cross", attention(q, k, v, heads), by_formula(q, k, v, heads), 1e-6);
  }
}

TEST_CASE("attention: bf16 keeps bf16's digits, forward and backward, whichever kernel serves it") {
  for (const auto& [queries, keys] : {std::pair<int64_t, int64_t>{33, 77}, {600, 520}}) {
    std::vector<Tensor> low, high;
    for (uint64_t i = 0; i < 3; ++i) {
      const Tensor x = draw({2, i ? keys : queries, 80}, 10 + i).to(torch::kBFloat16);
      low.push_back(x.clone().set_requires_grad(true));
      high.push_back(x.to(torch::kDouble).set_requires_grad(true));
    }
    const Tensor weights = draw({2, queries, 80}, 20).to(torch::kBFloat16);
    const Tensor out = attention(low[0], low[1], low[2], 2), exact = by_formula(high[0], high[1], high[2], 2);
    test::expect_close("output", out, exact, 0.02);
    (out * weights).sum().backward();
    (exact * weights).sum().backward();
    for (size_t i = 0; i < 3; ++i) test::expect_close("gradient", low[i].grad(), high[i].grad(), 0.03);
  }
}

}  // namespace palate
