#include "palate/nn/frozen_conv.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

namespace palate {
namespace {

struct FrozenConv : torch::autograd::Function<FrozenConv> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        int64_t stride, int64_t padding) {
    context->save_for_backward({weight});
    context->saved_data["sizes"] = x.sizes();
    context->saved_data["channels_last"] = x.suggest_memory_format() == torch::MemoryFormat::ChannelsLast;
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return torch::conv2d(x, weight, bias, stride, padding);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const Tensor weight = context->get_saved_variables()[0];
    const int64_t stride = context->saved_data["stride"].toInt(), padding = context->saved_data["padding"].toInt();
    const auto format = context->saved_data["channels_last"].toBool() ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous;
    // The gradient of the input does not read the input: memory of its shape and format that nobody ever touches stands for it.
    const Tensor shape = torch::empty(context->saved_data["sizes"].toIntVector(), weight.options(), format);
    const auto result = at::convolution_backward(gradients[0], shape, weight, std::nullopt, {stride, stride}, {padding, padding}, {1, 1},
                                                 false, {0, 0}, 1, {true, false, false});
    return {std::get<0>(result), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding) {
  const bool keeps_less = x.is_cpu() && torch::GradMode::is_enabled() && x.requires_grad() && !weight.requires_grad() &&
                          !(bias.defined() && bias.requires_grad());
  return keeps_less ? FrozenConv::apply(x, weight, bias, stride, padding) : torch::conv2d(x, weight, bias, stride, padding);
}

}  // namespace palate
