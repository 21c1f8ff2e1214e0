// The files of a finished cache, memory-mapped: where each row's numbers lie. Private to data/cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/data/cache/cache_files.h"
#include "palate/models/condition.h"

namespace palate {

// Latents of one picture of a row in all its variants, [V, C, h, w] each.
struct CachedView {
  const float *mean, *std;
};

struct RowPlace {
  uint64_t id;
  float label, weight, reward;
  bool prior;
  int64_t repeats, bucket;
  std::vector<int64_t> prompts;     // the caption, and what takes turns with it
  int64_t base_prompt = -1;         // what the reference is asked for; -1: the caption
  std::vector<CachedView> views;    // preferred and rejected, or one
  const float* time_ids = nullptr;  // [V, 6]; null for models without
};

class CachedRows {
 public:
  // FormatError for files that do not fit together.
  CachedRows(const std::filesystem::path& folder, const CacheManifest& manifest);

  std::string key;
  RowCounts counts;
  float scale = 1;
  double largest_std = 0;  // of any posterior: 0 for a codec without noise
  int64_t variants = 0;
  bool any_prior = false, any_reward = false;
  std::vector<std::vector<int64_t>> shapes;  // of each bucket's latents: C, h, w
  std::vector<RowPlace> rows;
  std::vector<std::string> prompts;

  // The states of these prompts, one row each, copied.
  Condition states(const std::vector<int64_t>& numbers) const;
  int64_t values(const RowPlace& row) const;  // numbers in one variant of one view

 private:
  using Numbers = std::unordered_map<std::string, int64_t>;  // of prompts
  void load_text(const SafetensorsFile& file);
  void load_rows(const SafetensorsFile& file, const Numbers& numbers);
  void load_bucket(const SafetensorsFile& file, const std::string& bucket, const std::vector<RowPlace*>& places);
  Tensor load_latents(const SafetensorsFile& file, const std::string& name, size_t count);
  int64_t bucket_of(const std::vector<int64_t>& shape);

  // One field of the prompts' conditions: mapped shards, and a pointer to each prompt's row.
  struct Field {
    std::vector<Tensor> shards;
    std::vector<const char*> rows;
    void add(const Tensor& shard);
    Tensor gather(const std::vector<int64_t>& numbers) const;
  };
  std::map<std::string, Field> fields_;
  std::vector<Tensor> mapped_;  // keep the mappings alive
};

}  // namespace palate
