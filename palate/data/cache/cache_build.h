// Building a pair cache: one pass over the rows for the latents, then one over the distinct prompts for the text states.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "palate/data/cache/cache_files.h"
#include "palate/data/cache/encoders.h"
#include "palate/data/pairs.h"

namespace palate {

// Everything that the cached values depend on, one line each; its SHA-256 is the cache's key.
std::string cache_settings(const DataConfig& config, Encoders& encoders, const std::string& content);

// DataError when the config's files hold no row, or the first one cannot be read: what building would say at its start.
void check_first_row(const DataConfig& config, PairSource& source);

struct CacheBuild {
  const DataConfig& config;
  PairSource& source;  // the config's
  Encoders& encoders;
  std::filesystem::path folder;  // FOLDER/KEY
  std::string key, settings;
  double shard_seconds = 30;  // a shard is written at least this often, so that little is lost when a run dies
};

// Builds what is missing and returns the manifest. One run builds, others wait for it and say so. Shards that an
// interrupted run left are kept; the bits are those of an uninterrupted run, because images are encoded in groups that
// depend on the rows alone. DataError for an unreadable row (unless skip_bad) and for a set without a single pair.
CacheManifest build_cache(const CacheBuild& build);

}  // namespace palate
