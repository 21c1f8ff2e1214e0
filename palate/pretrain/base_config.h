// How a base model of the embedded world is made: `palate pretrain`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/config/fields.h"
#include "palate/io/json.h"
#include "palate/world/scene.h"

namespace palate::world {

// One fit: AdamW, a warm-up and then half a cosine, clipping, a running mean of the weights (which is what is kept).
struct FitConfig {
  int64_t steps = 1000;
  double minutes = 0;  // above 0: the fit ends by the clock instead, and the rate follows it; such a run is not repeatable
  int64_t batch = 8;
  double lr = 1e-3;
  double final_lr = 0.01;  // share of lr at the end
  int64_t warmup_steps = 100;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;
  double clip_norm = 1;
  double ema = 0.999;
  int64_t log_every = 50;         // steps
  double checkpoint_minutes = 5;  // between checkpoints, each with an evaluation

  void visit(Fields& f);
};

struct AutoencoderConfig {
  std::string folder;  // a ready one; "": train
  std::vector<int64_t> block_out_channels = {16, 32, 64};
  int64_t layers_per_block = 1, latent_channels = 8, norm_num_groups = 8;
  FitConfig fit;

  void visit(Fields& f);
  Json model() const;      // config.json of AutoencoderKL, scaling_factor 1
  int64_t factor() const;  // pixels per latent along one side
};

struct UnetConfig {
  std::vector<int64_t> block_out_channels = {64, 128};
  std::vector<int64_t> attention = {1, 1};  // for each block: 1 with cross-attention
  int64_t layers_per_block = 1, heads = 4, norm_num_groups = 8;
  bool pooled_text = true;                 // addition_embed_type "text": the pooled text states join the time embedding
  std::string time_shift = "scale_shift";  // resnet_time_scale_shift: default | scale_shift

  void visit(Fields& f);
  Json model(const AutoencoderConfig& autoencoder, int64_t latent_channels, int64_t text_width) const;  // config.json
};

struct TextConfig {
  int64_t width = 64, layers = 2, heads = 4;

  void visit(Fields& f);
  Json model() const;  // config.json of CLIPTextModel, for the tokenizer of tokenizer_files.h
};

struct EvaluationConfig {
  int64_t single = 35, two = 70;  // development prompts
  int64_t steps = 20;
  double guidance_scale = 3;
  double every_minutes = 10;      // between evaluations; they happen at checkpoints only
  int64_t reconstructions = 400;  // clean pictures that the autoencoder is measured on
  int64_t pictures = 4;           // of each prompt, from different noise

  void visit(Fields& f);
};

struct PretrainConfig {
  std::string output;
  std::string init;  // a model folder of this config's shapes whose U-Net and text encoder are trained on; "": from nothing
  int64_t seed = 0;
  int64_t threads = 0;
  double caption_dropout = 0.1;
  Odds odds;
  AutoencoderConfig autoencoder;
  UnetConfig unet;
  TextConfig text;
  FitConfig fit;
  EvaluationConfig evaluation;

  void visit(Fields& f);
};

Json scheduler_config();  // v-prediction on the cosine schedule, sampled by DDIM

}  // namespace palate::world
