// The files of a pair cache, FOLDER named by the cache's key:
//
//   pairs-00000.safetensors ...  win_mean, win_std, lose_mean, lose_std, each [n, V, C, h, w] float32 (not scaled), and in the
//                                metadata the rows that the shard covers; no tensors when it kept no row. SDXL: time_ids [n, V, 6] too.
//                                Single pictures have no lose_*; with buckets each has its own tensors, win_mean.64x96 (h x w) ...
//   text-00000.safetensors ...   the fields of the prompts' Condition, one row a prompt; prompts in the metadata
//   manifest.json                written last: a cache is complete when it is there
//   lock                         held while a run builds
//
// Each file is written under a temporary name and renamed, so a shard is there whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/safetensors.h"
#include "palate/models/condition.h"

namespace palate {

struct CachedRow {
  uint64_t id = 0;
  std::string prompt;
  double preference = 1;
  std::string origin;
  int64_t repeats = 1;
  std::string bucket;  // ".64x96": ends the names of its tensors; "" without buckets
  std::vector<std::string> wordings;
  double weight = 1;
  bool prior = false;
  std::string base_prompt = {};  // "": the prompt
  double reward = std::numeric_limits<double>::quiet_NaN();
};

// Rows that gave no pair, by reason.
struct RowCounts {
  int64_t ties = 0, unlabelled = 0, duplicates = 0;
  std::vector<std::string> bad;  // unreadable rows, one message each
  void add(const RowCounts& other);
};

// What a pair shard says about itself.
struct ShardInfo {
  int64_t begin = 0, end = 0;   // rows of the source that it covers
  std::vector<CachedRow> rows;  // those that it keeps
  RowCounts counts;
  double largest_std = 0;  // of the posterior: 0 for a codec without noise
};

struct CacheManifest {
  std::string key, settings;  // the key is the hash of the settings
  double scaling_factor = 1;
  RowCounts counts;
  struct File {
    std::string name;
    int64_t bytes;
  };
  std::vector<File> pair_shards, text_shards;
};

std::filesystem::path pair_shard_path(const std::filesystem::path& folder, int64_t index);
std::filesystem::path text_shard_path(const std::filesystem::path& folder, int64_t index);

void save_pair_shard(const std::filesystem::path& path, const std::string& key, const ShardInfo& info, const TensorMap& tensors);
// FormatError when the file is not a shard of the cache `key`.
ShardInfo pair_shard_info(const SafetensorsFile& file, const std::string& key);

// `states` has one row a prompt.
void save_text_shard(const std::filesystem::path& path, const std::string& key, const std::vector<std::string>& prompts,
                     const Condition& states);
std::vector<std::string> text_shard_prompts(const SafetensorsFile& file, const std::string& key);
Condition text_shard_states(const SafetensorsFile& file);  // memory-mapped

bool has_manifest(const std::filesystem::path& folder);
void save_manifest(const std::filesystem::path& folder, const CacheManifest& manifest);
// FormatError when the manifest is of another key, or a shard is missing or has another size (it says what to do).
CacheManifest load_manifest(const std::filesystem::path& folder, const std::string& key);

}  // namespace palate
