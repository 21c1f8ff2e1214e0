// Preference pairs as a model sees them that looks at pixels: both pictures, brought to its size once and kept on disk (memory-mapped).
// Like PairCache, the folder is named by a hash of all that the pictures depend on; building shows a progress bar, goes on where it was
// interrupted, and is safe under two runs at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/data/batch.h"
#include "palate/data/cache/cache_files.h"
#include "palate/data/cache/pair_cache.h"
#include "palate/data/pairs.h"

namespace palate {

// How a picture is brought to size.
struct PixelFit {
  std::function<Tensor(const Tensor& picture)> fit;  // uint8 [3, H, W] -> uint8 [3, h, w], of one size for all; threads call it at once
  std::string identity;                              // all that its results depend on
};

struct PixelBatch {
  std::vector<Visit> visits;         // [B]
  Tensor pictures;                   // uint8 [2 B, 3, h, w]: all preferred ones, then all rejected ones
  Tensor label;                      // [B] float32: P(the first is preferred); 0.5 is a tie
  std::vector<std::string> prompts;  // [B]
};

class PixelCache {
 public:
  // data.pairs, opened as `source`. The split is by prompt and depends on `seed`. DataError for rows that cannot be used (unless skip_bad)
  // and for a set without a pair, FormatError for a damaged cache.
  static PixelCache open(const PixelFit& fit, const DataConfig& config, PairSource& source, const std::filesystem::path& folder,
                         uint64_t seed);

  const std::vector<int64_t>& rows(Split split) const { return split == Split::train ? train_ : held_out_; }
  const std::string& key() const { return key_; }
  const CachedRow& row(int64_t number) const { return rows_.at(static_cast<size_t>(number)); }
  // `numbers`: how often each row came before.
  PixelBatch batch(const std::vector<int64_t>& rows, const std::vector<uint64_t>& numbers) const;

 private:
  PixelCache(const std::filesystem::path& folder, const CacheManifest& manifest);

  std::string key_;
  std::vector<CachedRow> rows_;
  struct Shard {
    int64_t first;     // of its rows
    Tensor win, lose;  // uint8 [n, 3, h, w], mapped
  };
  std::vector<Shard> shards_;
  std::vector<int64_t> train_, held_out_;
};

}  // namespace palate
