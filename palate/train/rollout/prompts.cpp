#include "palate/train/rollout/prompts.h"

#include <algorithm>
#include <charconv>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/io/prompt_file.h"
#include "palate/world/prompts.h"

namespace palate {
namespace {

constexpr int64_t world_prompts = 256;

int64_t world_count(const std::string& entry) {
  if (entry == "world") return world_prompts;
  int64_t count = 0;
  const char* end = entry.data() + entry.size();
  const auto read = std::from_chars(entry.data() + 6, end, count);
  check<UsageError>(read.ec == std::errc() && read.ptr == end && count > 0, "rollout.prompts: '", entry,
                    "': expected world or world:N, N training prompts of the embedded world");
  return count;
}

}  // namespace

std::vector<std::string> read_rollout_prompts(const std::vector<std::string>& entries) {
  std::vector<std::string> all;
  for (const auto& entry : entries) {
    std::vector<std::string> some;
    if (entry == "world" || entry.starts_with("world:"))
      some = world::prompts(world::Split::train, world::Kind::mixed, world_count(entry), 0);
    else if (entry.ends_with(".txt"))
      some = read_prompt_file(entry);
    else
      some = {entry};
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<int64_t> drawn_prompts(int64_t count, int64_t wanted, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> drawn;
  for (uint64_t round = 0; static_cast<int64_t>(drawn.size()) < wanted; ++round) {
    const auto order =
        Generator({seed, mix(stable_hash("rollout prompts"), round), static_cast<uint64_t>(epoch), Purpose::shuffle}).permutation(count);
    const int64_t left = wanted - static_cast<int64_t>(drawn.size());
    drawn.insert(drawn.end(), order.begin(), order.begin() + std::min(left, count));
  }
  std::sort(drawn.begin(), drawn.end());  // a prompt's pictures follow one another, also where it comes twice
  return drawn;
}

}  // namespace palate
