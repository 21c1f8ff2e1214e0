// Our CPU attention against libtorch's, forward and backward, one thread, at the shapes of SD1.5; and both against float32.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <vector>

#include "palate/core/generator.h"
#include "palate/nn/cpu/flash_attention.h"

using namespace palate;

namespace {

struct Shape {
  int64_t queries, keys, size, heads;
};

struct Result {
  double forward = 0, backward = 0;
  std::vector<Tensor> tensors;  // output, dq, dk, dv
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Tensor random(uint64_t sample, int64_t rows, const Shape& s) {
  return Generator({0, sample, 0, Purpose::test}).normal({2, rows, s.heads * s.size}).to(torch::kBFloat16);
}

Tensor libtorch_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Shape& s) {
  const auto split = [&](const Tensor& x) { return x.view({2, -1, s.heads, s.size}).transpose(1, 2); };
  return at::scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).reshape(q.sizes());
}

enum class Kernel { ours, libtorch };

Result run(const Shape& s, Kernel kernel, torch::ScalarType dtype) {
  const auto leaf = [&](uint64_t sample, int64_t rows) { return random(sample, rows, s).to(dtype).clone().set_requires_grad(true); };
  const Tensor q = leaf(1, s.queries), k = leaf(2, s.keys), v = leaf(3, s.keys), g = random(4, s.queries, s).to(dtype);
  const double begin = now();
  const Tensor out = kernel == Kernel::ours ? flash_attention(q, k, v, s.heads) : libtorch_attention(q, k, v, s);
  const double middle = now();
  out.backward(g);
  return {middle - begin, now() - middle, {out.detach(), q.grad(), k.grad(), v.grad()}};
}

void print_errors(const char* name, const Result& result, const Result& exact) {
  std::printf("  %s against float32:", name);
  for (size_t i = 0; i < exact.tensors.size(); ++i) {
    const Tensor difference = (result.tensors[i].to(torch::kFloat32) - exact.tensors[i]).abs().max() / exact.tensors[i].abs().max();
    std::printf(" %.4f", difference.item<double>());
  }
  std::printf("\n");
}

}  // namespace

int main() {
  at::set_num_threads(1);
  for (const Shape& s : {Shape{4096, 4096, 40, 8}, Shape{1024, 1024, 80, 8}, Shape{256, 256, 160, 8}, Shape{4096, 77, 40, 8}}) {
    run(s, Kernel::ours, torch::kBFloat16);  // once to warm up
    const Result ours = run(s, Kernel::ours, torch::kBFloat16), theirs = run(s, Kernel::libtorch, torch::kBFloat16);
    std::printf("%ld queries, %ld keys, head %ld: ours %.4f + %.4f s, libtorch %.4f + %.4f s, ratio %.2f and %.2f\n",
                static_cast<long>(s.queries), static_cast<long>(s.keys), static_cast<long>(s.size), ours.forward, ours.backward,
                theirs.forward, theirs.backward, theirs.forward / ours.forward, theirs.backward / ours.backward);
    const Result exact = run(s, Kernel::libtorch, torch::kFloat32);
    print_errors("ours", ours, exact);
    print_errors("libtorch", theirs, exact);
  }
}
