// Latents and text states of a data set, computed once and kept on disk (memory-mapped). The cache's folder is
// named by a hash of the data's content, the encoders' weights and the transform, so a stale cache cannot be read.
// Building shows a progress bar, goes on where it was interrupted, and is safe under two runs at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "palate/data/batch.h"
#include "palate/data/cache/cache_files.h"
#include "palate/data/pairs.h"
#include "palate/pipeline/pipeline.h"

namespace palate {

class Encoders;

enum class Split { train, held_out };

class PairCache {
 public:
  // Opens the cache below `folder`, building what is missing. The split is by prompt and depends on `seed`. UsageError
  // for files that are not there, DataError for rows that cannot be used, FormatError for a damaged cache.
  static PairCache open(Pipeline& pipeline, const DataConfig& config, const std::filesystem::path& folder, uint64_t seed);
  static PairCache open(Encoders& encoders, const DataConfig& config, const std::filesystem::path& folder, uint64_t seed);
  // With the config's files opened already (open_pairs).
  static PairCache open(Encoders& encoders, const DataConfig& config, PairSource& source, const std::filesystem::path& folder,
                        uint64_t seed);
  ~PairCache();
  PairCache(PairCache&&) noexcept;

  const std::vector<int64_t>& rows(Split split) const;  // row numbers of this split, ascending
  const RowCounts& counts() const;                      // of what gave no example
  const std::string& key() const;                       // the hash that names the cache
  const std::string& prompt(int64_t row) const;
  int64_t repeats(int64_t row) const;  // how often it comes in an epoch
  double label(int64_t row) const;     // as Batch::label
  double reward(int64_t row) const;    // NaN where the data has none
  bool prior(int64_t row) const;       // of the class, for prior preservation
  int64_t bucket(int64_t row) const;   // rows of one bucket have latents of one shape; 0 without buckets
  // `rows` in batches of at most `size`, each of one bucket; in their order, but for the buckets.
  std::vector<std::vector<int64_t>> batches(const std::vector<int64_t>& rows, int64_t size) const;

  // Which coming of which row. With `draws` above 0 that many draws of (t, noise) take turns (Visit::draw).
  std::vector<Visit> visits(const std::vector<int64_t>& rows, const std::vector<uint64_t>& numbers, int64_t draws = 0) const;

  // One batch, of rows of one bucket. All randomness (posterior, variant, caption dropout) is keyed by (seed, id, draw). The views of an
  // example have posterior noise of their own; variants take turns as `draw` grows. `augment` false: variant 0, posterior mean, no dropout
  // (for validation). Tensors are on the CPU; conditions are in the dtype that the encoder gave.
  struct Options {
    uint64_t seed = 0;
    double caption_dropout = 0;
    bool augment = true;
  };
  Batch batch(const std::vector<Visit>& visits, const Options& options) const;
  Batch batch(const std::vector<int64_t>& rows, const std::vector<uint64_t>& numbers, const Options& options) const {
    return batch(visits(rows, numbers), options);
  }

 private:
  struct State;
  explicit PairCache(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace palate
