// The layers of a model that LoRA can hang on, by component ("unet", "text_encoder", "text_encoder_2"), read from the headers of
// its weight files: no model is built and no weight is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace palate {

using LayerShapes = std::map<std::string, std::vector<int64_t>, std::less<>>;  // "down_blocks.0...to_q" -> its weight's shape
using ModelLayers = std::map<std::string, LayerShapes, std::less<>>;

// "unet", "text_encoder", "text_encoder_2", in this order.
const std::vector<std::string>& lora_components();

// FOLDER is a model folder in diffusers' layout. UsageError when it holds none of the components' weights as safetensors.
ModelLayers read_model_layers(const std::filesystem::path& folder);

// The safetensors of one component's folder.
std::vector<std::filesystem::path> component_weights(const std::filesystem::path& folder);

// "encoder.layers.0...q_proj.weight" in text_encoder -> "text_model.encoder.layers.0...q_proj"; "" for a tensor that is not the weight
// of a linear layer or convolution.
std::string layer_of_tensor(const std::string& component, const std::string& tensor, size_t dimensions);

// The layers of SD1.x, SD2.x and SDXL together, without shapes.
const ModelLayers& stable_diffusion_layers();

}  // namespace palate
