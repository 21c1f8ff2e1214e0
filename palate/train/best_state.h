// best-N/: the trained values at the best validation so far, and reading trained values back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "palate/io/safetensors.h"
#include "palate/train/parameters.h"

namespace palate {

void save_best(const std::filesystem::path& run, int64_t step, const Parameters& parameters);
// An earlier best may still be what the last checkpoint knows of, so they are removed only when a checkpoint was written.
void prune_best(const std::filesystem::path& run, int64_t best_step);
// The values become those of that step; a warning when they are not there any more.
void take_best(const std::filesystem::path& run, int64_t step, const Parameters& parameters);

// From a checkpoint's "trained.NAME" ("value.NAME" in those of earlier pretrainings). UsageError names the tensor that does not fit.
void copy_values(const TensorMap& tensors, const Parameters& parameters, const std::string& where);

}  // namespace palate
