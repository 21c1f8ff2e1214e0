// The pointwise functions between layers, by the names that diffusers' and transformers' configs use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

// gelu_tanh is gelu's tanh approximation, gelu_quick x sigmoid(1.702 x).
enum class Activation : uint8_t { silu, mish, gelu, relu, gelu_tanh, gelu_quick };

Tensor activate(const Tensor& x, Activation activation);

struct ActivationName {
  std::string name;
  Activation activation;
};
const std::vector<ActivationName>& diffusers_activations();     // diffusers/models/activations.py, get_activation
const std::vector<ActivationName>& transformers_activations();  // those of transformers' ACT2FN that text encoders use

}  // namespace palate
