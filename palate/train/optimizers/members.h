// One factory an optimizer; the table of their names is in train/optimizer.cpp.
#pragma once

#include "palate/train/optimizer.h"

namespace palate {

using MakeOptimizer = std::unique_ptr<Optimizer> (*)(const OptimizerConfig&, std::vector<std::string> names, std::vector<Tensor> values);

// Each in a file of its own name.
std::unique_ptr<Optimizer> make_adamw(const OptimizerConfig&, std::vector<std::string>, std::vector<Tensor>);
std::unique_ptr<Optimizer> make_adamw_8bit(const OptimizerConfig&, std::vector<std::string>, std::vector<Tensor>);
std::unique_ptr<Optimizer> make_adafactor(const OptimizerConfig&, std::vector<std::string>, std::vector<Tensor>);
std::unique_ptr<Optimizer> make_lion(const OptimizerConfig&, std::vector<std::string>, std::vector<Tensor>);
std::unique_ptr<Optimizer> make_prodigy(const OptimizerConfig&, std::vector<std::string>, std::vector<Tensor>);

}  // namespace palate
