// Pictures of test prompts at several weights of reward guidance, from the same noise, and what a judge says of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/eval/win_rate.h"
#include "palate/io/manifest.h"
#include "palate/personalize/likeness.h"
#include "palate/pipeline/pipeline.h"

namespace palate {

struct SweepOptions {
  std::vector<std::string> prompts;               // with the word
  std::vector<double> weights = {0, 2, 3, 4, 5};  // 0: the adapted model with ordinary guidance
  int64_t pictures = 1;                           // of each prompt
  GenerateOptions sampling;
};

// One setting's pictures: the base model's own of the base prompts, or the adapted one's at a weight.
struct Column {
  std::string name;  // "base", "weight 3"
  double weight = 0;
  PictureSet pictures;                       // prompt by prompt
  std::map<std::string, Interval> likeness;  // "subject", "prompt" ...: means over prompts; empty without a judge
};

// "base", "weight_0", "weight_2.5": a column's folder.
std::string column_folder(double weight);

// Draws what is missing into FOLDER/base and FOLDER/weight_W. The adapters hang on the pipeline. `asked` names how the pictures are made
// (sha256 of the LoRA ...): where the folder's are of another run of it, they are drawn anew.
std::vector<Column> draw_sweep(Pipeline& pipeline, const Concept& concept_, const SweepOptions& options, const Json& asked,
                               const std::filesystem::path& folder);

// By the judge, with 95% intervals that resample prompts.
void score_columns(std::vector<Column>& columns, const Likeness& judge, const Concept& concept_, int64_t pictures);

// Rows prompts, columns settings: the first picture of each. uint8 [3, height, width].
Tensor sweep_grid(const std::vector<Column>& columns, int64_t pictures);

Json to_json(const Column& column);

}  // namespace palate
