// The tensors that `palate step` is given, as the batch and the noising of one pass.
#pragma once

#include <string>

#include "palate/io/safetensors.h"
#include "palate/objective/statistics.h"

namespace palate {

struct StepBatch {
  Batch batch;
  Noising noising;
};

// UsageError for a tensor that is not in the file, or holds what is no number: nothing that is made of it would mean anything.
Tensor read_finite(const SafetensorsFile& file, const std::string& name, c10::Device device);

// UsageError says which tensor is missing or has another shape than the others.
StepBatch read_step_batch(const std::string& path, const Needs& needs, c10::Device device, c10::ScalarType dtype);

// UsageError for a timestep that the process does not have, and for a step to more noise.
void check_timesteps(const Noising& noising, const TimestepRange& range, const std::string& file);

}  // namespace palate
