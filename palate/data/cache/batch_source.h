// Batches of one cache as one user of it draws them: training, validation, or errors that are computed ahead.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/data/cache/pair_cache.h"

namespace palate {

struct BatchSource {
  const PairCache& cache;  // outlives this
  PairCache::Options options;
  int64_t draws = 0;  // above 0: so many draws of (t, noise) take turns for each row
  c10::Device device = c10::Device(c10::kCPU);
  c10::ScalarType dtype = c10::kFloat;  // of conditions

  // `numbers`: how often each row came before.
  Batch batch(const std::vector<int64_t>& rows, const std::vector<uint64_t>& numbers) const {
    return cache.batch(cache.visits(rows, numbers, draws), options).to(device, dtype);
  }
  // All rows at their coming number `number`.
  Batch batch(const std::vector<int64_t>& rows, uint64_t number) const { return batch(rows, std::vector<uint64_t>(rows.size(), number)); }
};

}  // namespace palate
