// Every gradient of a model against a golden file's.
#pragma once

#include "tests/support/golden_file.h"

namespace torch::nn {
class Module;
}

namespace palate::test {

void require_gradients(torch::nn::Module& model);
// The parameters' .grad against "grad.NAME"; a parameter without a golden gradient must have none here either. The worst of the
// reference's own gradients in float32, "grad", bounds them all.
void expect_gradients(torch::nn::Module& model, const GoldenFile& golden);
// The largest error of all gradients, which that compares with golden.bound("grad").
double gradient_error(torch::nn::Module& model, const GoldenFile& golden);

}  // namespace palate::test
