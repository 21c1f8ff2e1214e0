// Reference axis: which network the policy is compared with. It knows neither timesteps nor noise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "palate/models/registry.h"
#include "palate/objective/policy.h"
#include "palate/objective/statistics.h"

namespace palate {

// One network over the pass's noised pictures. The same function for every network.
using RunBranch = std::function<Branch(Denoiser& network, const Condition& condition)>;

class Reference {
 public:
  virtual ~Reference() = default;
  virtual Branch run(const RunBranch& run, Policy& policy, const Batch& batch) = 0;  // without gradients
  virtual bool gives_residuals() const { return true; }
};

// Rows of a cache whose reference errors are computed ahead, K draws each.
struct ReferenceRows {
  std::vector<int64_t> rows;
  uint64_t seed = 0;
  std::string key;  // names what `batch` gives besides: data, encoders, transform
  std::function<Batch(const std::vector<int64_t>& rows, uint64_t draw)> batch;
  // Some of the rows, which follow one another, as batches of one bucket each, in their order; null: they are one batch.
  std::function<std::vector<std::vector<int64_t>>(const std::vector<int64_t>& rows)> split = nullptr;
  // d [views * B] of a network on such a batch: noised as training and validation will noise it.
  std::function<Tensor(Denoiser& network, const Batch& batch)> errors;
};

class Snapshot;  // reference/snapshot.h

struct ReferenceSetup {
  // The policy's network, where switching its adapters off gives the reference (LoRA). Null in full training: `adapters_off` is then a
  // UsageError, and `cached` holds a frozen copy while it fills its file.
  Denoiser* policy = nullptr;
  std::filesystem::path denoiser_folder;  // of the frozen network
  LoadOptions load;                       // the policy's dtype and device, and so the copy's
  Snapshot* snapshot = nullptr;           // for `snapshot`: who renews it; outlives the reference
  // The rest is for `cached` alone. A row stands in one of the parts at most (train rows, held-out rows).
  std::vector<ReferenceRows> parts;
  std::filesystem::path folder;  // where the caches lie; the file's name is a hash of all that it depends on
  std::string weights_hash;      // Pipeline::weights_hash of the denoiser
  std::string noising_key;       // of error space, timesteps and noise: what `errors` depends on besides
  int64_t batch = 1;             // examples at once while filling
};

}  // namespace palate
