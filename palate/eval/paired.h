// Paired comparison: several models make the same prompts from the same starting noise, and one judge scores them all.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "palate/eval/win_rate.h"
#include "palate/judge/judge.h"
#include "palate/pipeline/pipeline.h"

namespace palate {

// One side of a comparison: its pictures and their scores, in the order of the requests.
struct Side {
  std::string name;
  Tensor images;  // uint8 [N, 3, H, W]
  Scores scores;
};

Side make_side(const std::string& name, Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const GenerateOptions& options,
               Judge& judge);

// One request for each prompt and repeat; the id (so the noise) depends on prompt and repeat only.
std::vector<GenerateRequest> paired_requests(const std::vector<std::string>& prompts, int64_t repeats = 1);

struct Comparison {
  std::string base, ours;
  WinRate win_rate;
  Interval gain;                              // of the mean score
  std::map<std::string, Interval> part_gain;  // of each attribute, over the prompts that ask for it
  std::vector<double> gains;                  // one a request
};

Comparison compare(const Side& base, const Side& ours, const std::vector<GenerateRequest>& requests, double tie_margin, uint64_t seed);

// Mean of a score over the requests that have it (NaN is left out).
double mean_score(const Tensor& scores);

Json to_json(const Comparison& comparison);
// {"total": .., "colour": .., ...}: mean scores of one side
Json mean_scores(const Side& side);

}  // namespace palate
