// Pictures of fixed prompts from fixed noise while a run goes: samples/step_000100/000.png ..., grid.png, manifest.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>

#include "palate/core/tensor.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/run_config.h"

namespace palate {

std::filesystem::path sample_folder(const std::filesystem::path& run, int64_t step);

// Draws the pictures, writes them and returns the grid, uint8 [3, height, width].
Tensor draw_samples(Pipeline& pipeline, const SampleConfig& config, uint64_t seed, const std::filesystem::path& folder);

}  // namespace palate
