#include "palate/nn/geglu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "palate/nn/flash_tiles.h"
#include "palate/nn/row_dtype.h"
#include "palate/nn/row_kernels.h"

namespace palate {
namespace {

constexpr int64_t rows_a_task = 64;

struct Geglu : torch::autograd::Function<Geglu> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& h) {
    context->save_for_backward({h});
    const int64_t width = h.size(-1) / 2, rows = h.numel() / h.size(-1);
    auto sizes = h.sizes().vec();
    sizes.back() = width;
    const Tensor y = torch::empty(sizes, h.options());
    rows::for_dtype(h, [&](auto type) {
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
    rows::for_dtype(h, [&](auto type) {
      using T = decltype(type);
      at::parallel_for(0, rows, rows_a_task, [&](int64_t first, int64_t last) {
        rows::geglu_backward(h.data_ptr<T>() + first * 2 * width, g.data_ptr<T>() + first * width, dh.data_ptr<T>() + first * 2 * width,
                             last - first, width);
      });
    });
    return {dh};
  }
};

bool served(const Tensor& h) {
  static const bool supported = flash::tiles_supported();
  return supported && h.is_cpu() && h.is_contiguous() && h.numel() > 0 &&
         (h.scalar_type() == torch::kBFloat16 || h.scalar_type() == torch::kFloat32);
}

}  // namespace

Tensor geglu(const Tensor& h) {
  if (served(h)) return Geglu::apply(h);
  const auto halves = h.chunk(2, -1);
  return halves[0] * torch::gelu(halves[1]);
}

}  // namespace palate
