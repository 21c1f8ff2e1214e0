// The processes of one run. Losses and timestep policies that need a mean over all of a step's examples ask for it here, so that the
// number of processes changes no result but for rounding.
#pragma once

#include "palate/core/tensor.h"

namespace palate {

class Ranks {
 public:
  virtual ~Ranks() = default;
  // The mean over ranks, without gradients; one process: the value itself.
  virtual Tensor mean(const Tensor& value) const { return value; }
};

}  // namespace palate
