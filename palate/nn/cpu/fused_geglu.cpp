#include "palate/nn/cpu/fused_geglu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "palate/nn/cpu/dispatch.h"
#include "palate/nn/cpu/geglu_rows.h"

namespace palate {
namespace {

constexpr int64_t rows_a_task = 64;

struct FusedGeglu : torch::autograd::Function<FusedGeglu> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& h) {
    context->save_for_backward({h});
    const int64_t width = h.size(-1) / 2, rows = h.numel() / h.size(-1);
    auto sizes = h.sizes().vec();
    sizes.back() = width;
    const Tensor y = torch::empty(sizes, h.options());
    for_dtype(h, [&](auto type) {
      using T = decltype(type);
      at::parallel_for(0, rows, rows_a_task, [&](int64_t first, int64_t last) {
        rows::geglu(h.data_ptr<T>() + first * 2 * width, y.data_ptr<T>() + first * width, last - first, width);
      });
    });
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const Tensor h = context->get_saved_variables()[0], g = gradients[0].to(h.scalar_type()).contiguous(), dh = torch::empty_like(h);
    const int64_t width = h.size(-1) / 2, rows = h.numel() / h.size(-1);
    for_dtype(h, [&](auto type) {
      using T = decltype(type);
      at::parallel_for(0, rows, rows_a_task, [&](int64_t first, int64_t last) {
        rows::geglu_backward(h.data_ptr<T>() + first * 2 * width, g.data_ptr<T>() + first * width, dh.data_ptr<T>() + first * 2 * width,
                             last - first, width);
      });
    });
    return {dh};
  }
};

}  // namespace

bool fused_geglu_serves(const Tensor& h) {
  static const bool supported = avx512_bf16_supported();
  return supported && h.is_cpu() && h.is_contiguous() && h.numel() > 0 && is_bf16_or_float32(h);
}

Tensor fused_geglu(const Tensor& h) { return FusedGeglu::apply(h); }

}  // namespace palate
