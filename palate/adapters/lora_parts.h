// LoRA files on several components of one model at once.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"

namespace palate {

struct LoraChoice {
  std::filesystem::path file;
  double weight = 1;
};

// By component: the denoiser, "text_encoder", "text_encoder_2".
using ModelParts = std::map<std::string, torch::nn::Module*>;

// Each component takes its part of each file, in order. UsageError for keys that have no home in any of them, and for a part of a component
// that is not among them.
std::vector<Lora> hang_loras(const ModelParts& parts, const std::vector<LoraChoice>& files);

}  // namespace palate
