// What a file of tensors is, told from its names and shapes alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "palate/io/tensor_file.h"

namespace palate {

// Single files of the whole model: one text tower of CLIP, one of OpenCLIP, or both.
enum class Family : uint8_t { sd1, sd2, sdxl };

struct FamilyFacts {
  Family family;
  const char* name;          // "Stable Diffusion 1"
  const char* architecture;  // as modelspec.architecture has it
  std::string text, text_2;  // prefixes of the text towers in a single file; text_2 is "" where there is none
};
const FamilyFacts& facts(Family family);

inline const std::string unet_prefix = "model.diffusion_model.", vae_prefix = "first_stage_model.";

// Of a single file with a U-Net; empty for anything else. UsageError, naming it, for a family that is not converted (SDXL's refiner).
std::optional<Family> family_of(const TensorFile& file);

// One line for a person: "Stable Diffusion XL, single file: U-Net, autoencoder, text encoder, text encoder 2"; "" when it is not known.
std::string architecture_of(const TensorFile& file);

// The layers of a LoRA that is a bare list of up and down projections (cloneofsimo's .pt); empty when it is none. One rank a layer.
std::vector<int64_t> listed_lora_ranks(const TensorFile& file);

}  // namespace palate
