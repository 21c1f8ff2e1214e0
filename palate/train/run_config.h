// The whole of a training run's configuration. See configs/ for complete files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"
#include "palate/config/fields.h"
#include "palate/data/pairs.h"
#include "palate/objective/objective_config.h"
#include "palate/train/optimizer.h"
#include "palate/train/reward/reward_config.h"
#include "palate/train/rollout/rollout_config.h"

namespace palate {

// Training of the text encoders, and of a new word (textual inversion).
struct TextConfig {
  bool lora = false;
  double lr = 0;  // 0: optimizer.lr
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "out_proj"};
  std::string word, initializer;  // "<my-dog>" begins as "dog"; "": no word
  int64_t vectors = 1;
  bool any() const { return lora || !word.empty(); }
  void visit(Fields& f);
};

// Pictures of the class beside those that are learned: prior preservation.
struct PriorConfig {
  bool preservation = false;  // pictures of the class there must be
  std::string class_prompt;   // "a photo of a dog"; "": none
  std::string folder;         // of pictures that are there; "": the base model draws them
  int64_t pictures = 100, steps = 50, batch = 4;
  double guidance_scale = 7.5;
  std::string sampler;
  bool any() const { return !class_prompt.empty(); }
  void visit(Fields& f);
};

struct TrainConfig {
  int64_t steps = 1000, batch = 1, accumulation = 1;
  std::string dtype = "float32";  // compute: float32 | bf16
  bool gradient_checkpointing = false;
  double ema = 0;  // decay; 0: off
  int64_t checkpoint_every = 500, keep_checkpoints = 3;
  int64_t validate_every = 100, validation_pairs = 64, validation_draws = 4;
  bool keep_best = false;  // the result is the checkpoint with the best held-out preference accuracy
  int64_t log_every = 10;
  void visit(Fields& f);
};

struct SampleConfig {
  std::vector<std::string> prompts;  // fixed prompts for grids while training; empty: none are drawn
  int64_t every = 0;                 // steps between grids; 0: only before the first step and at the end
  int64_t steps = 25;
  double guidance_scale = 7.5;
  std::string sampler;
  void visit(Fields& f);
};

struct RunConfig {
  std::string task = "align";  // align | reward-model
  std::string model;           // model folder
  std::string variant;         // "fp16": weights named diffusion_pytorch_model.fp16.safetensors; "": those without
  std::string output;          // run folder; must not exist, unless `resume` says so
  std::string resume;          // "" | latest | a checkpoint folder
  std::string device = "cpu";
  int64_t seed = 0, threads = 0;
  bool full = false;  // train the whole U-Net instead of a LoRA
  DataConfig data;
  ObjectiveConfig objective;
  RolloutConfig rollout;
  LoraConfig lora;
  TextConfig text;
  PriorConfig prior;
  OptimizerConfig optimizer;
  TrainConfig train;
  SampleConfig sample;
  RewardConfig reward;
  void visit(Fields& f);
};

}  // namespace palate
