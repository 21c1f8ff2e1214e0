// A base model of the embedded world from nothing: first the autoencoder, then denoiser and text encoder together.
//
//   OUTPUT/autoencoder/  metrics.jsonl, checkpoint-N/vae/
//   OUTPUT/denoiser/     metrics.jsonl, checkpoint-N/base/ (a whole model folder at every checkpoint)
//   OUTPUT/base/         the model folder in diffusers' layout, with a README.md that holds its numbers
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "palate/pretrain/base_config.h"
#include "palate/train/run_folder.h"

namespace palate::world {

struct PretrainResult {
  bool interrupted = false;
  std::filesystem::path base;
  std::map<std::string, double> evaluation;
};

PretrainResult pretrain(const PretrainConfig& config, RunStart start);

}  // namespace palate::world
