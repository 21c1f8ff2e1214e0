#include "palate/data/cache/text_shards.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr size_t prompts_at_once = 16, prompts_in_shard = 256;

using Prompts = std::vector<std::string>;

Prompts slice(const Prompts& all, size_t begin, size_t count) {
  const auto first = all.begin() + static_cast<int64_t>(begin);
  return {first, first + static_cast<int64_t>(std::min(count, all.size() - begin))};
}

bool holds(const fs::path& path, const std::string& key, const Prompts& prompts) {
  if (!fs::exists(path)) return false;
  try {
    return text_shard_prompts(SafetensorsFile(path), key) == prompts;
  } catch (const FormatError& error) {
    warn(error.what(), "; it is made again");
    return false;
  }
}

Condition encode(Encoders& encoders, const Prompts& prompts) {
  std::vector<Condition> parts;
  for (size_t begin = 0; begin < prompts.size(); begin += prompts_at_once) {
    parts.push_back(encoders.prompts(slice(prompts, begin, prompts_at_once)).to(torch::kCPU));
  }
  return Condition::cat(parts);
}

}  // namespace

std::vector<CacheManifest::File> build_text_shards(const CacheBuild& build, const Prompts& prompts) {
  std::vector<CacheManifest::File> files;
  Progress progress("caching text states", static_cast<int64_t>(prompts.size()));
  for (size_t begin = 0; begin < prompts.size(); begin += prompts_in_shard) {
    const Prompts part = slice(prompts, begin, prompts_in_shard);
    const fs::path path = text_shard_path(build.folder, static_cast<int64_t>(begin / prompts_in_shard));
    if (!holds(path, build.key, part)) save_text_shard(path, build.key, part, encode(build.encoders, part));
    files.push_back({path.filename().string(), static_cast<int64_t>(fs::file_size(path))});
    progress.advance(static_cast<int64_t>(part.size()));
    check(!interrupted(), "interrupted: the text states of ", begin + part.size(),
          " prompts are in the cache; the same command goes on from there");
  }
  return files;
}

}  // namespace palate
