#include "palate/world/prompts.h"

#include <algorithm>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/hash.h"
#include "palate/world/caption.h"

namespace palate::world {
namespace {

// The first 8 hexadecimal digits.
uint32_t leading_md5(std::string_view text) {
  return static_cast<uint32_t>(std::stoul(Hash(HashKind::md5).update(text).hex().substr(0, 8), nullptr, 16));
}

std::vector<std::string> captions_of(const std::vector<Scene>& scenes, Split split) {
  std::vector<std::string> found;
  for (const Scene& scene : scenes) {
    std::string text = caption(scene);
    if (split_of(text) == split) found.push_back(std::move(text));
  }
  return found;
}

const char* split_name(Split split) { return split == Split::train ? "training" : split == Split::test ? "test" : "development"; }

// `count` of `all`, in a random order that depends on the key alone.
void append(std::vector<std::string>& out, const std::vector<std::string>& all, int64_t count, const Key& key) {
  const auto order = Generator(key).permutation(static_cast<int64_t>(all.size()));
  for (int64_t i = 0; i < count; ++i) out.push_back(all[static_cast<size_t>(order[static_cast<size_t>(i)])]);
}

}  // namespace

Split split_of(std::string_view caption) {
  switch (leading_md5(caption) % 5) {
    case 0:
      return Split::development;
    case 1:
      return Split::test;
    default:
      return Split::train;
  }
}

std::vector<std::string> prompts(Split split, Kind kind, int64_t count, uint64_t seed) {
  const auto one = kind == Kind::two ? std::vector<std::string>{} : captions_of(single_scenes(), split);
  const auto two = kind == Kind::single ? std::vector<std::string>{} : captions_of(double_scenes(), split);
  const int64_t available = static_cast<int64_t>(one.size() + two.size());
  check<UsageError>(count <= available, "there are ", available, " distinct ", split_name(split), " prompts of this kind, ", count,
                    " were asked for");
  int64_t singles = std::min(kind == Kind::mixed ? count * 2 / 5 : count, static_cast<int64_t>(one.size()));
  singles = std::max(kind == Kind::two ? 0 : singles, count - static_cast<int64_t>(two.size()));
  std::vector<std::string> chosen, shuffled;
  append(chosen, one, singles, {seed, 1, 0, Purpose::split});
  append(chosen, two, count - singles, {seed, 2, 0, Purpose::split});
  append(shuffled, chosen, count, {seed, 3, 0, Purpose::split});
  return shuffled;
}

std::vector<std::string> held_out_prompts(int64_t count, uint64_t seed) { return prompts(Split::test, Kind::mixed, count, seed); }

}  // namespace palate::world
