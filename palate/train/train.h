// One training run: from a config to a run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "palate/train/run_config.h"

namespace palate {

struct TrainResult {
  std::filesystem::path folder;  // the run folder; pytorch_lora_weights.safetensors or unet/ is in it
  int64_t steps = 0, best_step = 0;
  double seconds = 0;                     // of training, caches excluded
  std::map<std::string, double> metrics;  // the last ones logged
  bool interrupted = false;               // SIGINT or SIGTERM: a checkpoint was written
};

TrainResult train(const RunConfig& config);

// What --dry-run prints: the resolved config, bytes and seconds that the run will need, and, when it will not fit, the
// cheapest change that would make it fit.
struct Forecast {
  int64_t weights_bytes = 0, activation_bytes = 0, optimizer_bytes = 0, cache_bytes = 0, peak_bytes = 0;
  double seconds_per_step = 0, seconds = 0;
  std::string advice;  // "" when it fits
};
Forecast forecast(const RunConfig& config);

}  // namespace palate
