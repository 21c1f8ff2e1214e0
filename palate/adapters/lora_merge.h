// LoRAs into one, into fewer ranks, and into a model's full weights.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "palate/adapters/lora_file.h"

namespace palate {

struct WeightedLora {
  LoraFile file;
  double weight = 1;
};

// The sum as one LoRA whose rank is the ranks' sum: halves side by side, so nothing is lost but float32's rounding of weight * alpha /
// rank. UsageError for DoRA (its update is no sum of products) and for layers whose shapes differ.
LoraFile concatenate_loras(const std::vector<WeightedLora>& loras);

struct ResizeOptions {
  int64_t rank = 0;  // at most this; 0: as it is
  double keep = 1;   // share of each layer's squared norm of delta-W that the kept directions must hold; 1: all of `rank`
};

// Each layer's best approximation (SVD, in float64). `lost`: the relative Frobenius norm of what is left out, over all layers.
LoraFile resize_lora(const LoraFile& lora, const ResizeOptions& options, double* lost = nullptr);

// Copies the model folder MODEL to OUT, which must not be there, with weight * delta-W added to the weights, in float32, before they
// return to their own type. Every safetensors of an adapted component is changed (variants too); pickled weights of it are left out.
// UsageError when a layer has no weight in the folder. Returns the number of tensors changed.
int64_t merge_into_model(const std::filesystem::path& model, const std::filesystem::path& out, const std::vector<WeightedLora>& loras);

}  // namespace palate
