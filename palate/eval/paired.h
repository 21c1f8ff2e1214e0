// Paired comparison: pictures of the same prompts from the same starting noise, made by several models or found on disk, and what the same
// judges say of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "palate/eval/scoring.h"
#include "palate/eval/win_rate.h"
#include "palate/io/manifest.h"
#include "palate/judge/judge.h"
#include "palate/pipeline/requests.h"

namespace palate {

// One side of a comparison: its pictures on disk and their scores by each judge, in one order.
struct Side {
  std::string name;
  PictureSet pictures;
  std::vector<Scores> scores;
};

// UsageError when one of the judges could not score what the model would draw. Nothing is drawn.
void require_all(const Judges& judges, Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const GenerateOptions& options);

// Draws the requests into FOLDER, which must be new or empty (io/sample_folder.h). Each batch is scored as it is made, and then forgotten.
Side draw_side(const std::string& name, Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const GenerateOptions& options,
               const Judges& judges, const std::filesystem::path& folder);

// Two sets in one order, that of the first: beside each picture the one of the same prompt, seed and id. Where a picture of either set has
// no seed and id (another program made it), the k-th picture of a prompt stands beside the other set's k-th. UsageError names a picture
// without a partner.
std::pair<PictureSet, PictureSet> paired(const PictureSet& base, const PictureSet& ours);

struct Comparison {
  std::string judge, base, ours;
  WinRate win_rate;
  Interval gain;                              // of the mean score
  std::map<std::string, Interval> part_gain;  // of each attribute, over the prompts that ask for it
  std::vector<double> gains;                  // one a picture
};

// By one judge; both sides' scores are of these prompts.
Comparison compare(const Scores& base, const Scores& ours, const std::vector<std::string>& prompts, double tie_margin, uint64_t seed);

Json to_json(const Comparison& comparison);

}  // namespace palate
