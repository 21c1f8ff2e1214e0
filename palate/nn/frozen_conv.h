// A convolution whose weight and bias are frozen keeps nothing of its input for the backward pass: only its weight.
#pragma once

#include <cstdint>

#include "palate/core/tensor.h"

namespace palate {

// x [B, in, H, W], weight [out, in, k, k], bias [out], both in x's dtype -> [B, out, H', W']. libtorch's conv2d, with a graph
// that lets go of x where neither weight nor bias needs a gradient.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding);

}  // namespace palate
