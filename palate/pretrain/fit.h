// The training loop that both stages of `palate pretrain` share: update, running mean, log, checkpoint, resume.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/pretrain/base_config.h"

namespace torch::nn {
class Module;
}

namespace palate::world {

struct Weights {
  std::vector<std::string> names;
  std::vector<Tensor> values;  // float32 leaves that require gradients

  void add(const std::string& prefix, torch::nn::Module& module);
};

struct FitTask {
  std::string title;
  std::filesystem::path folder;  // gets metrics.jsonl, TensorBoard events and checkpoint-N/; what is there is gone on from
  FitConfig config;
  Weights weights;
  // The loss [] of update number `step`; `progress` runs from 0 to 1.
  std::function<Tensor(int64_t step, double progress)> loss;
  // With the running means in place: write the model into a checkpoint's folder; measure the model in such a folder.
  std::function<void(const std::filesystem::path& folder)> save;
  std::function<std::map<std::string, double>(const std::filesystem::path& folder)> evaluate;
  double evaluate_minutes = 0;  // at least so many minutes of training between evaluations; the last checkpoint always has one
};

struct FitResult {
  bool interrupted = false;
  int64_t steps = 0;
  double minutes = 0;
  std::filesystem::path checkpoint;          // the last, with the model as `save` wrote it
  std::map<std::string, double> evaluation;  // of it; empty when interrupted between evaluations
};

// Error when the loss is not a number (the last checkpoint stays).
FitResult fit(const FitTask& task);

}  // namespace palate::world
