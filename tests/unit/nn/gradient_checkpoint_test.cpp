#include "palate/nn/gradient_checkpoint.h"

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/generator.h"
#include "palate/nn/adaptable.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"

namespace palate {

using test::draw;
namespace {

// Tensors of a few hundred numbers: a second thread only waits.
[[maybe_unused]] const bool one_thread = (at::set_num_threads(1), true);

}  // namespace

TEST_CASE("checkpoint: gradients of inputs and of captured parameters equal those without it") {
  Tensor x = draw({3, 4}, 1).set_requires_grad(true), w = draw({4, 4}, 2).set_requires_grad(true);
  const Tensor constant = draw({3, 4}, 3);
  int runs = 0;
  const std::function<Tensor(const std::vector<Tensor>&)> segment = [&](const std::vector<Tensor>& in) {
    ++runs;
    return torch::tanh(in[0].matmul(w)) * in[1];
  };
  const auto gradients = [&](bool on) {
    x.mutable_grad() = Tensor();
    w.mutable_grad() = Tensor();
    const std::vector<Tensor> inputs = {x * 2, constant};
    const Tensor y = on ? checkpointed(segment, inputs) : segment(inputs);
    (y * y).sum().backward();
    return std::pair{x.grad(), w.grad()};
  };
  const auto plain = gradients(false);
  runs = 0;
  const auto kept = gradients(true);
  CHECK(runs == 2);
  test::expect_equal("the input's", kept.first, plain.first);
  test::expect_equal("the parameter's", kept.second, plain.second);
}

TEST_CASE("checkpoint: a parameter gets its gradient where no input needs one, and gradients add up over passes") {
  Tensor w = draw({4}, 4).set_requires_grad(true);
  const Tensor x = draw({4}, 5);
  const std::function<Tensor(const std::vector<Tensor>&)> segment = [&](const std::vector<Tensor>& in) { return in[0] * w; };
  checkpointed(segment, {x}).sum().backward();
  checkpointed(segment, {x}).sum().backward();
  test::expect_close("two passes", w.grad(), 2 * x, 1e-6);
}

TEST_CASE("checkpoint: the rerun sees the adapters as the first run did") {
  Tensor w = draw({4}, 6).set_requires_grad(true);
  std::vector<bool> seen;
  const std::function<Tensor(const std::vector<Tensor>&)> segment = [&](const std::vector<Tensor>& in) {
    seen.push_back(adapters_on());
    return in[0] * w;
  };
  Tensor off;
  {
    const AdaptersOff guard;
    off = checkpointed(segment, {w});
  }
  const Tensor on = checkpointed(segment, {w});
  off.sum().backward();
  {
    const AdaptersOff guard;
    on.sum().backward();
    CHECK_FALSE(adapters_on());
  }
  CHECK(seen == std::vector<bool>{false, true, false, true});
  CHECK(adapters_on());
}

TEST_CASE("checkpoint: a segment with nothing to train passes through a backward pass untouched") {
  // As in SDXL with LoRA: the first block has no attention, so neither it nor what enters it has a gradient.
  Tensor w = draw({4}, 7).set_requires_grad(true);
  const Tensor frozen = draw({4}, 8);
  const Tensor first = checkpointed([](const std::vector<Tensor>& in) { return in[0] * 3; }, {frozen});
  (first * w).sum().backward();
  test::expect_close("the trained one's", w.grad(), 3 * frozen, 1e-6);
}

TEST_CASE("checkpoint: without gradients it is one plain call") {
  at::NoGradGuard no_grad;
  int runs = 0;
  const Tensor y = checkpointed(
      [&](const std::vector<Tensor>& in) {
        ++runs;
        return in[0] + 1;
      },
      {torch::zeros({2})});
  CHECK(runs == 1);
  CHECK_FALSE(y.requires_grad());
}

}  // namespace palate
