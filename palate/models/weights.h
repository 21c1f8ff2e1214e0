// Weight files to a module's parameters and back, by name.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "palate/models/registry.h"

namespace palate {

// What differs between a folder of diffusers and one of transformers.
struct WeightNames {
  std::string stem;                                        // "diffusion_pytorch_model" or "model"
  std::function<std::string(const std::string&)> current;  // brings an old name in a file to the present one; may be empty
  std::function<bool(const std::string&)> ignored;         // tensors of a file that are no weights (position_ids); may be empty
};

// The files that weight_files() finds: safetensors before .bin, one or shards. Each parameter takes options.dtype and
// device, one tensor at a time, so no second copy of the model is ever held; afterwards none requires a gradient.
// FormatError names up to five missing or surplus tensors, or the one with the wrong shape.
void load_weights(torch::nn::Module& model, const std::filesystem::path& folder, const WeightNames& names, const LoadOptions& options);

// FOLDER/STEM.safetensors in the parameters' own dtype, with metadata {"format": "pt"} as diffusers writes it.
void save_weights(const torch::nn::Module& model, const std::filesystem::path& folder, const WeightNames& names);

}  // namespace palate
