// `palate step` for losses on the model's own denoising steps (palate list losses: "own samples").
#pragma once

#include <filesystem>
#include <string>

#include "palate/io/safetensors.h"
#include "palate/models/registry.h"
#include "palate/train/run_config.h"

namespace palate {

struct StepModel {
  std::filesystem::path folder, frozen;  // frozen: the reference's network, where that is a copy
  LoadOptions load;
};

// Losses, densities and terms of the steps in the file IN; the gradients are left in the network's parameters. A guidance_scale of 0 is 5
// where the file has states of the empty prompt, and none where it has none.
TensorMap step_on_rollout(Denoiser& network, const RunConfig& run, const StepModel& model, const std::string& in);

}  // namespace palate
