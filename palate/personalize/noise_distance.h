// How far a personalised model has gone from its base: the mean square of the difference of their predicted noise, by timestep (Direct
// Consistency Optimization, arXiv 2402.12004; docs/objectives.md, section 4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/pipeline/pipeline.h"

namespace palate {

struct NoiseDistance {
  double t = 0;      // middle of the bucket
  double value = 0;  // mean over draws and elements of |eps_theta(x_t, own prompt) - eps_base(x_t, base prompt)|^2
  double error = 0;  // standard error of that mean over the draws
};

struct DistanceOptions {
  int64_t buckets = 10, draws = 8;  // draws of (picture, t, noise) in each bucket
  uint64_t seed = 0;
};

// `latents` [n, C, h, w]; one own and one base prompt each. The pipeline's adapters are the difference: the base is the same network
// without.
std::vector<NoiseDistance> noise_distance(Pipeline& pipeline, const Tensor& latents, const std::vector<std::string>& own,
                                          const std::vector<std::string>& base, const DistanceOptions& options, const std::string& title);

}  // namespace palate
