// A file of reference errors [N, K, 2] (winner, loser) that can be filled bit by bit and goes on where it was stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "palate/core/tensor.h"

namespace palate {

// Fills rows [first, first + count) of one draw: two tensors [count], float32 on the CPU.
using FillErrors = std::function<std::pair<Tensor, Tensor>(int64_t first, int64_t count, int64_t draw)>;

// The tensor of FOLDER/errors.safetensors, memory-mapped. Where the file is missing it is made: `fill` is called for what
// FOLDER/errors.partial does not hold yet, `batch` rows at a time, and each result is on disk before the next is computed.
// A lock keeps a second run waiting for the first instead of doing the work twice.
Tensor open_error_file(const std::filesystem::path& folder, int64_t rows, int64_t draws, int64_t batch, const FillErrors& fill);

}  // namespace palate
