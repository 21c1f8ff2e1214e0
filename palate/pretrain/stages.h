// The two stages of `palate pretrain`.
#pragma once

#include <filesystem>
#include <memory>

#include "palate/models/registry.h"
#include "palate/pretrain/base_config.h"
#include "palate/train/loop.h"

namespace palate::world {

// Trains an AutoencoderKL in OUTPUT/autoencoder, whose folder vae/ holds it then, with its scaling_factor measured.
TrainResult train_autoencoder(const PretrainConfig& config);

// Trains U-Net and text encoder in OUTPUT/denoiser on the latents of the autoencoder in VAE_FOLDER; its folder
// base/ is a whole model then.
TrainResult train_base(const PretrainConfig& config, const std::filesystem::path& vae_folder);

// One stage's loop: AdamW, a warm-up and then half a cosine, a running mean that is what is kept.
TrainResult run_stage(Task& task, const FitConfig& config, const std::string& title, const std::filesystem::path& folder,
                      double evaluate_minutes);

// Writes a model folder in diffusers' layout; the autoencoder's files are copied.
void write_base(const std::filesystem::path& folder, Denoiser& denoiser, TextEncoder& text, const std::filesystem::path& vae_folder);

// strict, acc, appeal, iou and reward of the folder's pictures of development prompts: "single/strict", "two/acc" ...
std::map<std::string, double> evaluate_base(const std::filesystem::path& folder, const EvaluationConfig& config, uint64_t seed);

}  // namespace palate::world
