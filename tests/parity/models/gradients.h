// Every gradient of a model against a golden file's.
#pragma once

#include <map>
#include <string>

#include "palate/core/tensor.h"

namespace torch::nn {
class Module;
}

namespace palate::test {

using Golden = std::map<std::string, Tensor>;

void require_gradients(torch::nn::Module& model);
// The parameters' .grad against "grad.NAME"; a parameter without a golden gradient must have none here either.
void expect_gradients(torch::nn::Module& model, const Golden& golden, double bound);

}  // namespace palate::test
