// Pictures side by side in one: contact sheets, frames, the samples of a run.
#pragma once

#include <array>
#include <cstdint>

#include "palate/core/tensor.h"

namespace palate {

using Colour = std::array<int, 3>;

struct GridOptions {
  int64_t columns = 0;  // 0: so many that there are about as many rows
  int64_t scale = 1;    // whole-number magnification
  int64_t gap = 4;      // pixels between pictures
  int64_t margin = 0;   // pixels around all of them
  Colour background = {255, 255, 255};
};

// pictures uint8 [N, 3, H, W], row by row -> uint8 [3, height, width]. Without pictures it is one pixel of the background.
Tensor picture_grid(const Tensor& pictures, const GridOptions& options = {});

}  // namespace palate
