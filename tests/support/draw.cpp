#include "tests/support/draw.h"

#include <ATen/core/Tensor.h>

#include "palate/core/generator.h"

namespace palate::test {

Tensor draw(const std::vector<int64_t>& sizes, uint64_t sample) { return Generator({1, sample, 0, Purpose::test}).normal(sizes); }

}  // namespace palate::test
