#include "palate/objective/make_reference.h"

#include "palate/core/error.h"

namespace palate {

ReferenceRows reference_rows(const PairCache& cache, std::vector<int64_t> rows, const PairCache::Options& options) {
  return {.rows = std::move(rows),
          .seed = options.seed,
          .batch = [&cache, options](const std::vector<int64_t>& some, const std::vector<uint64_t>& draws) { return cache.batch(some, draws, options); },
          .key = concat(cache.key(), " caption_dropout=", options.caption_dropout, " augment=", options.augment ? 1 : 0)};
}

}  // namespace palate
