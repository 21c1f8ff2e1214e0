// Tensors against tensors. Relative error is max |a - b| over max |b|: the measure that the 'shows' use.
#pragma once

#include <map>
#include <string>

#include "palate/core/tensor_fwd.h"

namespace palate::test {

double relative_error(const Tensor& got, const Tensor& expected);

// Fails the running test case, with name, shapes and the worst index, unless shapes agree and the error is at most `bound`.
void expect_close(const std::string& name, const Tensor& got, const Tensor& expected, double bound);
// Equal to the bit, shape and dtype included.
void expect_equal(const std::string& name, const Tensor& got, const Tensor& expected);

// All tensors of a golden file.
std::map<std::string, Tensor> load_golden(const std::string& name);

}  // namespace palate::test
