// The processes of one run. Losses and timestep policies that need a mean over all of a step's examples ask for it here, so that the
// number of processes changes no result but for rounding.
#pragma once

#include <cstdint>

#include "palate/core/tensor.h"

namespace palate {

class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int64_t rank() const { return 0; }
  virtual int64_t count() const { return 1; }
  // The mean over ranks, without gradients; one process: the value itself.
  virtual Tensor mean(const Tensor& value) const { return value; }
};

}  // namespace palate
