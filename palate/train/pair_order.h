// Which pair comes when. The order of epoch e is a permutation keyed by (seed, e); the place in it follows from the step
// alone, so a resumed run needs no state, and batch times accumulation splits the same sequence in any way.
#pragma once

#include <cstdint>
#include <vector>

namespace palate {

class PairOrder {
 public:
  PairOrder(std::vector<int64_t> rows, uint64_t seed);  // DataError without rows

  struct Part {
    std::vector<int64_t> rows;
    std::vector<uint64_t> draws;  // the epoch: how often this pair was seen before
  };
  Part take(int64_t first, int64_t count);  // places [first, first + count) of the endless sequence
  double epochs(int64_t place) const { return static_cast<double>(place) / static_cast<double>(rows_.size()); }

 private:
  std::vector<int64_t> rows_, order_;
  uint64_t seed_;
  int64_t epoch_ = -1;  // that order_ belongs to
};

}  // namespace palate
