// The one training loop: accumulate, clip, step, running mean, log, validate, checkpoint, resume, interrupt.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "palate/train/optimizer.h"
#include "palate/train/task.h"

namespace palate {

struct LoopConfig {
  std::string title = "training";  // of the progress bar and of log lines
  std::string resume;              // "" | latest | a checkpoint folder
  std::function<void()> resumed;   // called before the first step, when the checkpoint was found to fit
  std::string how_to_go_on;        // a sentence for the log of a run that stops early
  int64_t steps = 1000;
  double minutes = 0;  // above 0: the run ends by the clock instead, and is not repeatable
  int64_t accumulation = 1;
  OptimizerConfig optimizer;
  double ema = 0;  // decay; 0: off
  // Of a group at step `step` (from 0); progress from 0 to 1.
  std::function<double(const Parameters::Group& group, int64_t step, double progress)> rate;

  int64_t log_every = 10;                     // steps that one line of metrics.jsonl is the mean of
  int64_t examples = 1;                       // in one step, over all passes and ranks
  std::string speed = "examples_per_second";  // what their rate is called in metrics.jsonl
  int64_t validate_every = 0;                 // steps; 0: never
  bool keep_best = false;                     // the result is the state of the best validation
  int64_t sample_every = 0;                   // steps between samples; 0: before the first step and at the end alone
  int64_t checkpoint_every = 0;               // steps; 0: only when interrupted
  double checkpoint_minutes = 0;              // of updates; 0: by steps alone
  int64_t keep_checkpoints = 3;               // 0: all
  // For tasks that evaluate() what a checkpoint holds: checkpoints then hold the running mean, there is one at the end, and at least so
  // many minutes of updates lie between evaluations. Below 0: no evaluations.
  double evaluate_minutes = -1;
};

struct TrainResult {
  std::filesystem::path folder;  // the run folder, with the result in it
  int64_t steps = 0, best_step = 0;
  double seconds = 0;        // of updates
  Metrics metrics;           // the last ones logged
  Metrics evaluation;        // of the last checkpoint that was evaluated
  bool interrupted = false;  // a checkpoint was written
};

// Trains in FOLDER, which the caller holds (RunFolder): metrics.jsonl, TensorBoard's events, checkpoint-N/, the result. IoError names the
// last complete checkpoint; Error when a loss or gradient is not a number, naming the examples. Ends early, with a checkpoint, when
// interrupted() says so.
TrainResult run_loop(Task& task, const LoopConfig& config, const std::filesystem::path& folder, const Ranks& ranks = {});

}  // namespace palate
