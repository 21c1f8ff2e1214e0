// Intervals of a mean over seeds and prompts.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/eval/win_rate.h"

namespace palate {

// values[s][p]: of seed s and prompt p; every seed has the same prompts.
using SeedsByPrompts = std::vector<std::vector<double>>;

// The mean m over seeds and prompts, with a 95% bootstrap interval that counts both: seeds and prompts are two crossed samples (each run
// draws the same prompts), so each is resampled by its own means. With the means m_s of seeds and m_p of prompts, S seeds and P prompts,
//   m* = m + sqrt(S / (S - 1)) mean_{s in S*}(m_s - m) + mean_{p in P*}(m_p - m)
// where S* and P* are S seeds and P prompts drawn with replacement; the interval is the 2.5% and 97.5% quantiles of 4000 such m*. The
// factor makes up for the variance of a resampled mean, which is (S - 1) / S of the true one and much too small for few seeds. The variance
// of m* is that of m in the crossed model value = m + seed + prompt + rest, but that the rest's part var(rest) / (S P) is counted twice:
// the interval errs to the wide side there. Owen (2007, The pigeonhole bootstrap, arXiv 0712.1111) has the theory of crossed samples. One
// seed: prompts alone, which is win_rate's interval.
// Coverage in simulated tables of three seeds and 60 prompts, with deviations (seed, prompt, rest): .98 at (.05, .3, 1), .92 at (.1, .3,
// .5), .83 at (.5, .3, .3): where trainings differ more than prompts do, three of them cannot tell. DataError when there is no seed or no
// prompt, when seeds have other numbers of prompts, or a value is not finite.
Interval two_way_interval(const SeedsByPrompts& values, uint64_t seed);

// What a judge's scores of both sides come to, for each seed and prompt: 1 where ours is better by more than the margin, 0 where base is,
// 1/2 for a tie. Rows of equal length; an entry that is NaN on either side stays NaN.
SeedsByPrompts win_points(const SeedsByPrompts& base, const SeedsByPrompts& ours, double tie_margin);
SeedsByPrompts differences(const SeedsByPrompts& base, const SeedsByPrompts& ours);

// Without the prompts that have a NaN in any row: what a prompt does not ask for has no score.
SeedsByPrompts where_scored(const SeedsByPrompts& values);

}  // namespace palate
