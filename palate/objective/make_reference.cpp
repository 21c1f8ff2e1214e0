#include "palate/objective/make_reference.h"

#include "palate/core/error.h"

namespace palate {

ReferenceRows reference_rows(const PairCache& cache, std::vector<int64_t> rows, const PairCache::Options& options) {
  const auto split = [&cache](const std::vector<int64_t>& some) { return cache.batches(some, static_cast<int64_t>(some.size())); };
  std::vector<int64_t> sorted;
  for (const auto& part : split(rows)) sorted.insert(sorted.end(), part.begin(), part.end());
  return {.rows = std::move(sorted),
          .seed = options.seed,
          .batch = [&cache, options](const std::vector<int64_t>& some,
                                     const std::vector<uint64_t>& draws) { return cache.batch(some, draws, options); },
          .key = concat(cache.key(), " caption_dropout=", options.caption_dropout, " augment=", options.augment ? 1 : 0),
          .split = split};
}

}  // namespace palate
