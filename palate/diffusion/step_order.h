// The steps since set_timesteps, for samplers with a memory.
#pragma once

#include <cstdint>

#include "palate/core/error.h"

namespace palate {

class StepOrder {
 public:
  void reset() { begin_ = next_ = -1; }
  // How many steps came before this one. Error unless it is the first or follows the last.
  int64_t next(const char* sampler, int64_t index) {
    if (begin_ < 0) begin_ = next_ = index;
    check(index == next_, sampler, ": steps must be taken in order: expected step ", next_, ", found ", index);
    return next_++ - begin_;
  }

 private:
  int64_t begin_ = -1, next_ = -1;
};

}  // namespace palate
