// A base model of a few thousand weights in diffusers' layout: the whole of `palate pretrain` in a second or two.
#pragma once

#include <filesystem>

#include "palate/core/device.h"
#include "palate/pretrain/pretrain.h"

namespace palate::test {

inline world::PretrainConfig tiny_config(const std::filesystem::path& output) {
  world::PretrainConfig config;
  config.output = output.string();
  config.seed = 3;
  config.autoencoder.block_out_channels = {8, 8, 8};
  config.autoencoder.latent_channels = 4;
  config.autoencoder.norm_num_groups = 4;
  config.autoencoder.fit.steps = 4;
  config.autoencoder.fit.batch = 4;
  config.unet.block_out_channels = {8, 16};
  config.unet.norm_num_groups = 4;
  config.unet.heads = 2;
  config.text = {16, 1, 2};
  config.fit.steps = 6;
  config.fit.batch = 4;
  config.fit.log_every = 2;
  config.fit.warmup_steps = 2;
  config.evaluation = {4, 4, 2, 2, 10, 20, 1};
  set_threads(1);  // the models are too small for more
  return config;
}

}  // namespace palate::test
