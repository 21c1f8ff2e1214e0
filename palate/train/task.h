// What the one training loop trains. A task knows its model, its data and its loss; the loop (train/loop.h) knows steps, optimizers,
// checkpoints and, one day, several machines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/core/ranks.h"
#include "palate/core/tensor.h"
#include "palate/data/batch.h"
#include "palate/io/safetensors.h"
#include "palate/train/checkpoint.h"
#include "palate/train/parameters.h"

namespace palate {

using Metrics = std::map<std::string, double>;

// One forward pass, ready for backward.
struct Pass {
  Tensor loss;         // [], with gradients
  Tensor losses = {};  // [B], for naming what is not a number; undefined: the loss alone is looked at
  std::vector<Visit> visits = {};
  Metrics metrics = {};  // what is averaged over the steps of a line of metrics.jsonl; "loss" is added by whoever runs the pass (update.h)
};

class Task {
 public:
  virtual ~Task() = default;
  virtual Parameters& parameters() = 0;
  virtual void set_training(bool) {}
  // Pass `part` of step `step` (both from 0). `progress` runs from 0 to 1 over the run. All that is random is keyed by these numbers.
  virtual Pass pass(int64_t step, int64_t part, double progress, const Ranks& ranks) = 0;
  virtual void after_update(const Ranks&) {}  // the values have changed

  // Numbers of held-out data, "held_out/loss" among them, without gradients.
  virtual Metrics validate() { return {}; }
  // Of these numbers, what keep_best compares; higher is better. held_out/accuracy, ties broken by nothing, or where there is none the
  // negative loss.
  virtual double value(const Metrics& measured) const;

  // State besides the parameters, by names of the task's own: buffers of rollouts, statistics of timesteps.
  virtual void save(TensorMap&) const {}
  virtual void load(const TensorMap&) {}
  // The result as a folder: adapters, or a model. Checkpoints hold one too.
  virtual void write(const std::filesystem::path& folder, const TrainState& state) const = 0;
  // True: write() holds every value at full precision, so checkpoints need no second copy, and read() takes them from one.
  virtual bool written_whole() const { return false; }
  virtual void read(const std::filesystem::path&) {}

  // Pictures of fixed prompts at this step: uint8 [3, H, W], or undefined.
  virtual Tensor sample(int64_t) { return {}; }
  // Measures the model that a checkpoint's write() gave: for tasks that measure by using the model rather than by held-out data.
  virtual Metrics evaluate(const std::filesystem::path&) { return {}; }
  // After the result was written into the run's folder.
  virtual void finish(const std::filesystem::path&, const TrainState&, const Metrics&) {}

  virtual std::string describe(const Visit& visit) const;      // of an example, for messages
  virtual void annotate(Metrics&, const TrainState&) const {}  // more numbers for a line of metrics.jsonl
};

}  // namespace palate
