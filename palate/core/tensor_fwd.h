// Declares at::Tensor without including a torch header: enough for functions that take and return tensors.
// Structs that store tensors include "palate/core/tensor.h".
#pragma once

#include <cstdint>

namespace at {
class Tensor;
}  // namespace at

namespace torch {
using at::Tensor;
}  // namespace torch

namespace palate {
using at::Tensor;
}  // namespace palate
