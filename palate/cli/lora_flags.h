// --lora FILE[:WEIGHT], as often as one likes: parsed, loaded, and kept for as long as the model is used.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"

namespace palate {

class Pipeline;

struct LoraFlag {
  std::filesystem::path file;
  double weight = 1;
};

// "style.safetensors:0.8". A path that exists as it stands is never cut. UsageError when the file is missing or the weight is no finite
// number; `where` says what was typed ("--lora", "lora merge").
LoraFlag parse_lora_flag(const std::string& text, const std::string& where = "--lora");

// Hangs each on the model, in order.
std::vector<Lora> load_loras(torch::nn::Module& model, const std::vector<std::string>& flags);

// The same on several components of one model (its denoiser and text encoders): each takes its part of each file. UsageError
// for keys that have no home in any of them, and for a part of a component that is not among them.
using ModelParts = std::map<std::string, torch::nn::Module*>;
std::vector<Lora> load_loras(const ModelParts& parts, const std::vector<std::string>& flags);

// The same on a whole pipeline: its U-Net and each of its text encoders, which must not be released while the LoRAs are to take effect.
std::vector<Lora> hang_loras(Pipeline& pipeline, const std::vector<std::string>& flags);

}  // namespace palate
