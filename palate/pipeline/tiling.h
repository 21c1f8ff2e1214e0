// Large pictures through an autoencoder in overlapping tiles, which are blended: memory is that of one tile. Equal to diffusers'
// AutoencoderKL with enable_tiling(). Each tile has its own statistics, so the result differs slightly from that of the whole picture.
#pragma once

#include <cstdint>
#include <functional>

#include "palate/core/tensor.h"

namespace palate {

struct Tiling {
  int64_t tile = 64;       // side of a tile of the input
  int64_t out_tile = 512;  // side of what becomes of it
  double overlap = 0.25;   // share of a tile that it has in common with the next
};

// x [B, C, H, W]; `model` maps tiles of it. Returns the blended whole; the model's own result when x is one tile.
Tensor in_tiles(const Tensor& x, const Tiling& tiling, const std::function<Tensor(const Tensor&)>& model);

}  // namespace palate
