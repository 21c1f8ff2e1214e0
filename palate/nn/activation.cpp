#include "palate/nn/activation.h"

#include <torch/types.h>

namespace palate {

Tensor activate(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::silu:
      return torch::silu(x);
    case Activation::mish:
      return torch::mish(x);
    case Activation::gelu:
      return torch::gelu(x);
    case Activation::relu:
      return torch::relu(x);
    case Activation::gelu_tanh:
      return torch::gelu(x, "tanh");
    case Activation::gelu_quick:
      return x * torch::sigmoid(1.702 * x);
  }
  return x;
}

const std::vector<ActivationName>& diffusers_activations() {
  static const std::vector<ActivationName> names = {{"silu", Activation::silu},
                                                    {"swish", Activation::silu},
                                                    {"mish", Activation::mish},
                                                    {"gelu", Activation::gelu},
                                                    {"relu", Activation::relu}};
  return names;
}

const std::vector<ActivationName>& transformers_activations() {
  static const std::vector<ActivationName> names = {{"quick_gelu", Activation::gelu_quick},
                                                    {"gelu", Activation::gelu},
                                                    {"gelu_new", Activation::gelu_tanh},
                                                    {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                    {"relu", Activation::relu},
                                                    {"silu", Activation::silu},
                                                    {"swish", Activation::silu},
                                                    {"mish", Activation::mish}};
  return names;
}

}  // namespace palate
