#include "palate/train/pair_order.h"

#include <cmath>
#include <map>

#include "palate/core/error.h"
#include "palate/core/generator.h"

namespace palate {
namespace {

int64_t up(int64_t number, int64_t divisor) { return (number + divisor - 1) / divisor; }

}  // namespace

PairOrder::PairOrder(const std::vector<Item>& items, int64_t batch, uint64_t seed, double share) : batch_(batch), seed_(seed) {
  check<DataError>(!items.empty(),
                   "data.pairs: no pair is left to train on after ties, unreadable rows and held-out prompts were taken away; "
                   "give more data, or a smaller data.held_out");
  std::map<int64_t, Bucket> buckets;
  for (const Item& item : items) {
    Sequence& kind = item.second ? buckets[item.bucket].second : buckets[item.bucket].first;
    for (int64_t copy = 0; copy < item.repeats; ++copy) {
      kind.entries.push_back(item);
      kind.copy.push_back(static_cast<uint64_t>(copy));
    }
  }
  for (auto& [number, bucket] : buckets) {
    total_ += bucket.size();
    const uint64_t sample = buckets.size() == 1 ? 0 : mix(static_cast<uint64_t>(number), stable_hash("bucket"));
    bucket.first.sample = sample;
    bucket.second.sample = mix(sample, stable_hash("second kind"));
    const bool both = bucket.first.size() > 0 && bucket.second.size() > 0;
    bucket.whole = share > 0 && both ? 1'000'000 : bucket.size();
    bucket.parts = share > 0 && both ? std::llround(share * 1e6) : bucket.first.size();
    buckets_.push_back(std::move(bucket));
  }
}

void PairOrder::Sequence::take(int64_t place, uint64_t seed, Part& part) {
  if (place / size() != epoch) {
    epoch = place / size();
    order = Generator({.seed = seed,
                       .sample = sample == 0 ? static_cast<uint64_t>(epoch) : mix(sample, static_cast<uint64_t>(epoch)),
                       .draw = 0,
                       .purpose = Purpose::shuffle})
                .permutation(size());
  }
  const auto entry = static_cast<size_t>(order[static_cast<size_t>(place % size())]);
  part.rows.push_back(entries[entry].row);
  part.visits.push_back(static_cast<uint64_t>(epoch) * static_cast<uint64_t>(entries[entry].repeats) + copy[entry]);
}

void PairOrder::Bucket::take(int64_t begin, int64_t count, uint64_t seed, Part& part) {
  for (int64_t place = begin; place < begin + count; ++place) {
    // Of the first `place` places so many are the first kind's: rounded up, so that it begins.
    const int64_t turns = place / whole * parts, before = turns + up(place % whole * parts, whole),
                  after = turns + up((place % whole + 1) * parts, whole);
    after > before ? first.take(before, seed, part) : second.take(place - before, seed, part);
  }
}

// A bucket's batch belongs to the epoch that its first place is in.
int64_t PairOrder::batches_before(int64_t epoch) const {
  int64_t count = 0;
  for (const Bucket& bucket : buckets_) count += up(epoch * bucket.size(), batch_);
  return count;
}

void PairOrder::open_epoch(int64_t batch) {
  int64_t epoch = batch * batch_ / total_;  // near it: every bucket adds less than one batch
  while (epoch > 0 && batches_before(epoch) > batch) --epoch;
  while (batches_before(epoch + 1) <= batch) ++epoch;
  if (epoch == epoch_) return;
  epoch_ = epoch;
  std::vector<std::pair<size_t, int64_t>> found;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    const int64_t size = buckets_[i].size();
    for (int64_t number = up(epoch * size, batch_); number < up((epoch + 1) * size, batch_); ++number) found.emplace_back(i, number);
  }
  const auto order = Generator({.seed = seed_, .sample = static_cast<uint64_t>(epoch), .draw = 1, .purpose = Purpose::shuffle})
                         .permutation(static_cast<int64_t>(found.size()));
  batches_.clear();
  for (const int64_t place : order) batches_.push_back(found[static_cast<size_t>(place)]);
}

PairOrder::Part PairOrder::take(int64_t first, int64_t count) {
  Part part;
  if (buckets_.size() == 1) {
    buckets_[0].take(first, count, seed_, part);
    return part;
  }
  check(count == batch_ && first % batch_ == 0, "[pair order] expected a batch of ", batch_, " from a multiple of it, got ", count,
        " from ", first);
  const int64_t batch = first / batch_;
  open_epoch(batch);
  const auto& [bucket, number] = batches_[static_cast<size_t>(batch - batches_before(epoch_))];
  buckets_[bucket].take(number * batch_, batch_, seed_, part);
  return part;
}

}  // namespace palate
