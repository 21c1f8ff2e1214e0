// Normal numbers for tests: the same on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/core/tensor_fwd.h"

namespace palate::test {

// float32 of this shape; another `sample` is another draw.
Tensor draw(const std::vector<int64_t>& sizes, uint64_t sample = 0);

}  // namespace palate::test
