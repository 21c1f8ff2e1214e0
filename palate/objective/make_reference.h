// From the config's `reference` to the object that gives reference errors. What it needs from a run stands in one struct.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "palate/data/pair_cache.h"
#include "palate/models/registry.h"
#include "palate/objective/objective.h"

namespace palate {

// Pairs whose reference errors `cached` computes ahead: K draws each. The objective's draws for these rows must be made with
// the same `seed`, and their batches with the same function, or the cached numbers would belong to other latents.
struct ReferenceRows {
  std::vector<int64_t> rows;
  uint64_t seed = 0;
  std::function<PairBatch(const std::vector<int64_t>& rows, const std::vector<uint64_t>& draws)> batch;
  std::string key;  // names what `batch` gives: data, encoders, transform
  // Some of the rows, which follow one another, as batches of one bucket each, in their order; null: they are one batch.
  std::function<std::vector<std::vector<int64_t>>(const std::vector<int64_t>& rows)> split = nullptr;
};
// Rows of a cache under the options that the run reads them with, bucket by bucket; `cache` must outlive the result.
ReferenceRows reference_rows(const PairCache& cache, std::vector<int64_t> rows, const PairCache::Options& options);

struct ReferenceSetup {
  // The policy, where switching its adapters off gives the reference (LoRA). Null in full training: `adapters_off` is then a
  // UsageError, and `cached` holds a frozen copy while it fills its file.
  Denoiser* policy = nullptr;
  std::filesystem::path denoiser_folder;  // MODEL/unet: what frozen_copy loads
  LoadOptions load;                       // the policy's dtype and device, and so the copy's
  const NoiseSchedule* schedule = nullptr;
  // The rest is for `cached` alone. A row stands in one of the parts at most (train rows, held-out rows).
  std::vector<ReferenceRows> parts;
  std::filesystem::path folder;  // where the caches lie; the file's name is a hash of all that it depends on
  std::string weights_hash;      // Pipeline::weights_hash("unet")
  int64_t batch = 1;             // pairs at once while filling
};

// Null for `none`. `cached` fills its file here: with a progress bar, going on where an earlier run was stopped, safe under
// two runs at once.
std::unique_ptr<Reference> make_reference(const ObjectiveConfig& config, const ReferenceSetup& setup);

// The draw number that a pair's t, noise and batch are keyed with: `draw`, or `draw` modulo K with cached references. Give
// it to PairCache::batch and Objective::draw alike.
uint64_t effective_draw(const ObjectiveConfig& config, uint64_t draw);

}  // namespace palate
