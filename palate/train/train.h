// One alignment run: from a config to a run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/train/loop.h"
#include "palate/train/run_config.h"

namespace palate {

// Trains with config.threads threads; afterwards the process has as many as before. Signals are the caller's: while an InterruptGuard
// (core/interrupt.h) lives, the first SIGINT or SIGTERM ends the run with a checkpoint.
TrainResult train(const RunConfig& config);

// Throws what train() would before its first step, as far as that can be told without reading all data or making anything: settings,
// model, data's first example, run folder.
void check_run(const RunConfig& config);

// The settings with which the run in FOLDER would have given another result than with those of its config.resolved.toml, a line each
// ("optimizer.lr: 0.001, now 0.0001"); none where there is no such file. ConfigError where it cannot be read.
std::vector<std::string> changed_settings(const std::filesystem::path& folder, RunConfig now);

// What --dry-run prints: bytes and seconds that the run will need, and, when it will not fit, the cheapest change that would make it fit.
struct Forecast {
  int64_t weights_bytes = 0, activation_bytes = 0, optimizer_bytes = 0, cache_bytes = 0, peak_bytes = 0;
  double seconds_per_step = 0, seconds = 0;
  std::string advice;  // "" when it fits
};
Forecast forecast(const RunConfig& config);

}  // namespace palate
