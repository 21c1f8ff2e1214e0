// Preference pairs of the embedded world: a base model's own pictures, and a simulated person who chooses among them.
#pragma once

#include <filesystem>

#include "palate/io/json.h"
#include "palate/pipeline/pipeline.h"

namespace palate::world {

struct PairOptions {
  int64_t prompts = 900;  // distinct training prompts; each gives at most one pair
  int64_t pictures = 4;   // of each prompt; the best and the worst of them make the pair
  int64_t steps = 20;     // sampling steps
  double guidance_scale = 3;
  double noise = 0.3;    // scale of the Gumbel noise that the person adds to every reward; with two pictures this is a
                         // Bradley-Terry choice at that temperature
  double min_gap = 0.3;  // the person skips a prompt whose best and worst seem nearer than this
  int64_t batch = 100;   // pictures at once; changes no picture but for rounding
  uint64_t seed = 0;
};

// Writes a parquet file with all columns of Pick-a-Pic and returns what a person wants to know of it: pairs, skipped,
// agreement (share of pairs in which the oracle without noise agrees), mean_gap (of the oracle's rewards), mean_reward.
// The columns jpg_0 and jpg_1 hold PNG bytes: JPEG blurs 32x32 pictures, and readers go by content. Which side the winner
// stands on is drawn.
Json make_pairs(Pipeline& base, const PairOptions& options, const std::filesystem::path& file);

}  // namespace palate::world
