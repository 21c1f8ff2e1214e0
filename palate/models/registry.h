// Model folders (diffusers' layout) to models and back. The one table from class names to constructors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/models/autoencoder.h"
#include "palate/models/denoiser.h"
#include "palate/models/text_encoder.h"

namespace palate {

struct LoadOptions {
  c10::ScalarType dtype = c10::kFloat;  // what the weights are held in
  c10::Device device = c10::Device(c10::kCPU);
  std::string variant;      // "fp16" picks *.fp16.safetensors
  bool will_train = false;  // the weights themselves, not adapters on them: they are not arranged then
};

// FOLDER holds config.json and the weights (one file, or shards with an index). Errors name the folder and, for
// tensors, up to five missing or surplus names, or the name with expected and found shape.
std::unique_ptr<Denoiser> load_denoiser(const std::filesystem::path& folder, const LoadOptions& options = {});
std::unique_ptr<Autoencoder> load_autoencoder(const std::filesystem::path& folder, const LoadOptions& options = {});
std::unique_ptr<TextEncoder> load_text_encoder(const std::filesystem::path& folder, const LoadOptions& options = {});

// A model with fresh weights, drawn by the reference library's rules from a generator keyed by `seed` and each name.
std::unique_ptr<Denoiser> make_denoiser(const Json& config, uint64_t seed);
std::unique_ptr<Autoencoder> make_autoencoder(const Json& config, uint64_t seed);
std::unique_ptr<TextEncoder> make_text_encoder(const Json& config, uint64_t seed);

// Writes config.json and the weights under the names that diffusers (or, for text encoders, transformers) uses.
void save_denoiser(Denoiser& model, const std::filesystem::path& folder);
void save_autoencoder(Autoencoder& model, const std::filesystem::path& folder);
void save_text_encoder(TextEncoder& model, const std::filesystem::path& folder);

// Class names that the loader knows ("UNet2DConditionModel", ...), for `palate list models`.
std::vector<std::string> model_names();

}  // namespace palate
