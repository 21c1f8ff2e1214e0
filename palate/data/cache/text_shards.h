// The text states of a cache's prompts. Private to data/cache.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "palate/data/cache/cache_build.h"

namespace palate {

// Distinct prompts in the order in which they came; the empty one first, for caption dropout.
class PromptList {
 public:
  void add(const std::string& prompt) {
    if (known_.insert(prompt).second) prompts_.push_back(prompt);
  }
  const std::vector<std::string>& prompts() const { return prompts_; }

 private:
  std::unordered_set<std::string> known_ = {""};
  std::vector<std::string> prompts_ = {""};
};

// Encodes the prompts whose shards are not there, and names all shards. Error when interrupted: the same command goes on from there.
std::vector<CacheManifest::File> build_text_shards(const CacheBuild& build, const std::vector<std::string>& prompts);

}  // namespace palate
