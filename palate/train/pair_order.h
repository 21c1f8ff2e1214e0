// Which pair comes when. The order of epoch e is a permutation keyed by (seed, e); the place in it follows from the step
// alone, so a resumed run needs no state, and batch times accumulation splits the same sequence in any way.
//
// With buckets every batch is of one bucket: each bucket has such a sequence of its own, cut into batches that may reach from
// one of its epochs into the next, so that all batches are full and all examples come equally often; the batches that begin in
// epoch e come in an order keyed by (seed, e).
//
// Examples may be of two kinds (thumbs up and down, a subject's pictures and its class's): each kind has a sequence of its own, and the two
// are interleaved as evenly as can be, so that every batch has its share of both, give or take one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace palate {

class PairOrder {
 public:
  struct Item {
    int64_t row = 0;
    int64_t repeats = 1;  // how often it comes in an epoch
    int64_t bucket = 0;
    bool second = false;  // of the second kind
  };
  // `share` of the places is the first kind's; 0: as the items have it. A bucket with one kind alone gives that. DataError without items.
  PairOrder(const std::vector<Item>& items, int64_t batch, uint64_t seed, double share = 0);

  struct Part {
    std::vector<int64_t> rows;
    std::vector<uint64_t> visits;  // how often this pair was seen before
  };
  // Places [first, first + count) of the endless sequence. With more than one bucket, `first` is a multiple of the batch and
  // `count` is the batch.
  Part take(int64_t first, int64_t count);
  double epochs(int64_t place) const { return static_cast<double>(place) / static_cast<double>(total_); }

 private:
  // The endless sequence of one kind in one bucket. An entry is a row and which of its repeats.
  struct Sequence {
    std::vector<Item> entries;
    std::vector<uint64_t> copy;
    uint64_t sample = 0;  // of its permutations' keys; 0: the only bucket's first kind
    std::vector<int64_t> order;
    int64_t epoch = -1;  // that `order` belongs to
    int64_t size() const { return static_cast<int64_t>(entries.size()); }
    void take(int64_t place, uint64_t seed, Part& part);
  };
  struct Bucket {
    Sequence first, second;
    int64_t parts = 0, whole = 1;  // of `whole` places `parts` are the first kind's
    int64_t size() const { return first.size() + second.size(); }
    void take(int64_t begin, int64_t count, uint64_t seed, Part& part);
  };
  int64_t batches_before(int64_t epoch) const;
  void open_epoch(int64_t batch);

  std::vector<Bucket> buckets_;
  int64_t total_ = 0, batch_ = 1, epoch_ = -1;
  uint64_t seed_;
  std::vector<std::pair<size_t, int64_t>> batches_;  // of epoch_: bucket, and the batch's number in it; in their order
};

}  // namespace palate
