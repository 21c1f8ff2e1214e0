#include "palate/train/pair_order.h"

#include "palate/core/error.h"
#include "palate/core/generator.h"

namespace palate {

PairOrder::PairOrder(std::vector<int64_t> rows, uint64_t seed) : rows_(std::move(rows)), seed_(seed) {
  check<DataError>(!rows_.empty(), "data.pairs: no pair is left to train on after ties, unreadable rows and held-out prompts were taken away; "
                                   "give more pairs, or a smaller data.held_out");
}

PairOrder::Part PairOrder::take(int64_t first, int64_t count) {
  const auto total = static_cast<int64_t>(rows_.size());
  Part part;
  for (int64_t place = first; place < first + count; ++place) {
    const int64_t epoch = place / total;
    if (epoch != epoch_) {
      order_ = Generator({.seed = seed_, .sample = static_cast<uint64_t>(epoch), .draw = 0, .purpose = Purpose::shuffle}).permutation(total);
      epoch_ = epoch;
    }
    part.rows.push_back(rows_[static_cast<size_t>(order_[static_cast<size_t>(place % total)])]);
    part.draws.push_back(static_cast<uint64_t>(epoch));
  }
  return part;
}

}  // namespace palate
