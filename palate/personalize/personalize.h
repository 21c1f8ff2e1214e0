// A model personalised with a few pictures: captions, training with Direct Consistency Optimization (arXiv 2402.12004), pictures at several
// weights of reward guidance, and how they measure up. One folder holds it all; the same call goes on with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/io/json.h"
#include "palate/personalize/noise_distance.h"
#include "palate/personalize/sweep.h"
#include "palate/train/run_config.h"

namespace palate {

struct PersonalizeOptions {
  std::filesystem::path images, out;
  std::string model;
  std::string captions;  // a file; "plain": the same short one for all; "": beside the pictures, or OUT/captions.jsonl
  Concept concept_;
  std::vector<std::string> overrides;  // of the run's configuration
  std::string prompts_file;            // "": default prompts
  std::vector<double> weights = {0, 2, 3, 4, 5};
  int64_t pictures = 1;
  DistanceOptions distance;
};

// The checked settings. UsageError for a subject without a class, a style without words, settings of one in another's folder.
Concept make_concept(bool style, const std::string& noun, const std::string& word);

// Training's configuration: dco-subject or dco-style, then the overrides.
RunConfig personalize_config(const PersonalizeOptions& options);

// What was made, as OUT/evaluation.json has it. OUT/: captions.jsonl, images.jsonl, personalize.json, run/ (the training), samples/,
// grid.png, evaluation.json, report.html. UsageError when OUT holds something else, or captions are to be written first: the template is
// there then. Error when training was interrupted.
Json personalize(const PersonalizeOptions& options);

}  // namespace palate
