// The full tensor type, for structs that store tensors by value.
#pragma once

#include <ATen/core/Tensor.h>

#include "palate/core/tensor_fwd.h"
