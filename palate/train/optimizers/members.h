// One factory an optimizer, each in a file of its own name; the table of their names is in train/optimizer.cpp.
#pragma once

#include "palate/config/member.h"
#include "palate/train/optimizer.h"

namespace palate {

using OptimizerMember = Member<Optimizer, std::vector<std::string>, std::vector<Tensor>>;

OptimizerMember adamw_optimizer();
OptimizerMember adamw_8bit_optimizer();
OptimizerMember adafactor_optimizer();
OptimizerMember lion_optimizer();
OptimizerMember prodigy_optimizer();

}  // namespace palate
