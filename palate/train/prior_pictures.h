// Pictures of the class, drawn by the base model before training.
#pragma once

#include <filesystem>

#include "palate/pipeline/pipeline.h"
#include "palate/train/run_config.h"

namespace palate {

// The folder with the pictures of config.prior: a person's own, or one below `caches` whose name is a hash of model, prompt, sampler and
// seed, in which those that are missing are drawn, with a progress bar. A run that is stopped goes on at the picture that it was at, and
// gives the same bits. The pipeline is the untouched base.
std::filesystem::path prior_pictures(Pipeline& pipeline, const RunConfig& config, const std::filesystem::path& caches);

}  // namespace palate
