// checkpoint-N/: all that a run needs to go on after step N as if it had never stopped. Written under a temporary name,
// synced, renamed; manifest.json holds size and SHA-256 of every file, and nothing is used that does not agree with it.
//
//   state.safetensors      trained values, optimizer moments, EMA
//   state.json             step, best validation so far, the open window of metrics
//   config.resolved.toml   pytorch_lora_weights*.safetensors (LoRA)   unet/ (whole)   manifest.json
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

struct TrainState {
  int64_t step = 0;                    // updates that were made
  int64_t best_step = -1;              // -1: none yet
  double best_value = 0;               // higher is better
  double seconds = 0;                  // of training so far
  std::map<std::string, double> sums;  // metrics since the last line of metrics.jsonl
  int64_t summed = 0;
  int64_t threads = 0;
};

struct Checkpoint {
  std::filesystem::path folder;
  TrainState state;
  std::map<std::string, Tensor> tensors;
};

std::filesystem::path checkpoint_path(const std::filesystem::path& run, int64_t step);
std::vector<int64_t> checkpoint_steps(const std::filesystem::path& run);  // ascending; complete folders only by their name

// `add` writes further files into the folder. IoError (a full disk, say) leaves the earlier checkpoints as they are.
void save_checkpoint(const std::filesystem::path& folder, const TrainState& state, const std::map<std::string, Tensor>& tensors,
                     const std::function<void(const std::filesystem::path&)>& add);

// "" when every file agrees with the manifest, else what does not.
std::string checkpoint_fault(const std::filesystem::path& folder);
Checkpoint load_checkpoint(const std::filesystem::path& folder);  // FormatError when it does not agree
// The newest that agrees with its manifest; the ones passed over are named in warnings. nullopt: there is none.
std::optional<Checkpoint> latest_checkpoint(const std::filesystem::path& run);

// Takes away all but the last `keep` (0: none), and what an interrupted writer left behind.
void prune_checkpoints(const std::filesystem::path& run, int64_t keep);
// Moves checkpoints later than `step` into superseded/: a run that goes on from an earlier one will write its own.
void supersede_after(const std::filesystem::path& run, int64_t step);

}  // namespace palate
