// What every run on a diffusion model leaves in its folder.
#pragma once

#include <filesystem>
#include <string>

#include "palate/io/safetensors.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/run_config.h"
#include "palate/train/task.h"

namespace palate {

// Of a LoRA file: steps, seed, rate, model, loss.
Metadata lora_metadata(const RunConfig& config, const TrainState& state);

// RUN/run.json: model, result and its hash, steps, metrics, and `more`; of a network that is trained whole the folder is made a model
// folder, with what was not trained copied beside it. IoError when that cannot be done.
void write_run_result(const std::filesystem::path& run, const RunConfig& config, Pipeline& pipeline, const Json& more,
                      const TrainState& state, const Metrics& last);

}  // namespace palate
