// The two stages of `palate pretrain`.
#pragma once

#include <filesystem>
#include <memory>

#include "palate/models/registry.h"
#include "palate/pretrain/fit.h"

namespace palate::world {

// Trains an AutoencoderKL in OUTPUT/autoencoder; the checkpoint's folder vae/ holds it, with its scaling_factor measured.
FitResult train_autoencoder(const PretrainConfig& config);

// Trains U-Net and text encoder in OUTPUT/denoiser on the latents of the autoencoder in VAE_FOLDER; the checkpoint's folder
// base/ is a whole model.
FitResult train_base(const PretrainConfig& config, const std::filesystem::path& vae_folder);

// Writes a model folder in diffusers' layout; the autoencoder's files are copied.
void write_base(const std::filesystem::path& folder, Denoiser& denoiser, TextEncoder& text, const std::filesystem::path& vae_folder);

// strict, acc, appeal, iou and reward of the folder's pictures of development prompts: "single/strict", "two/acc" ...
std::map<std::string, double> evaluate_base(const std::filesystem::path& folder, const EvaluationConfig& config, uint64_t seed);

}  // namespace palate::world
