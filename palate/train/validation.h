// Held-out preference accuracy: on how many pairs that training never sees does the policy, against its reference, prefer
// the winner? Measured on a fixed set of (t, noise) for each pair, so that two steps differ by the weights alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "palate/data/cache/batch_source.h"
#include "palate/objective/objective.h"

namespace palate {

class Validation {
 public:
  // `draws` fixed draws of each of the rows, `batch` rows at once. The source's seed keys t and noise too.
  Validation(BatchSource source, std::vector<int64_t> rows, int64_t draws, int64_t batch)
      : source_(source), rows_(std::move(rows)), draws_(draws), batch_(batch) {}

  // held_out/loss; held_out/accuracy (the margin, averaged over a pair's draws, is above 0; a margin of 0 counts half) and
  // held_out/margin where the loss has implicit rewards, or else logits. Without gradients.
  std::map<std::string, double> measure(const Objective& objective, Policy& policy) const;

  // A fixed choice of `count` (0: all) of `rows`, keyed by seed.
  static std::vector<int64_t> choose(const std::vector<int64_t>& rows, int64_t count, uint64_t seed);

 private:
  BatchSource source_;
  std::vector<int64_t> rows_;
  int64_t draws_, batch_;
};

}  // namespace palate
