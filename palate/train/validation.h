// Held-out preference accuracy: on how many pairs that training never sees does the policy, against its reference, prefer
// the winner? Measured on a fixed set of (t, noise) for each pair, so that two steps differ by the weights alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "palate/data/pair_cache.h"
#include "palate/objective/objective.h"

namespace palate {

class Validation {
 public:
  // `prepare` moves a batch and its draw to the model's device. `draws` fixed draws of each of the rows.
  struct Setup {
    const PairCache* cache = nullptr;
    const ObjectiveConfig* objective = nullptr;  // for effective_draw
    std::vector<int64_t> rows;
    PairCache::Options options;  // of the batches; its seed keys t and noise too
    int64_t draws = 4, batch = 1;
    std::function<void(PairBatch&, Draw*)> prepare;
  };
  explicit Validation(Setup setup) : setup_(std::move(setup)) {}

  // held_out/loss; held_out/accuracy (the margin, averaged over a pair's draws, is above 0; a margin of 0 counts half) and
  // held_out/margin where the loss has implicit rewards, or else logits. Without gradients.
  std::map<std::string, double> measure(Objective& objective, Denoiser& policy) const;

  // A fixed choice of `count` (0: all) of `rows`, keyed by seed.
  static std::vector<int64_t> choose(const std::vector<int64_t>& rows, int64_t count, uint64_t seed);
  // What keep_best compares: accuracy, ties broken by nothing; for losses without a margin the negative loss.
  static double value(const std::map<std::string, double>& measured);

 private:
  Setup setup_;
};

}  // namespace palate
