// What the file of an optimizer ends with: a function that gives this. The table of their names is in train/optimizer.cpp.
#pragma once

#include "palate/config/member.h"
#include "palate/train/optimizer.h"

namespace palate {

using OptimizerMember = Member<Optimizer, std::vector<std::string>, std::vector<Tensor>>;

}  // namespace palate
