// A subject's and a style's LoRA in one model: simply added, as Direct Consistency Optimization claims is enough (arXiv 2402.12004, section
// 4), or merged by ZipLoRA (arXiv 2311.13600); and how the two compare.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/adapters/zip_lora.h"
#include "palate/io/json.h"
#include "palate/pipeline/pipeline_loras.h"

namespace palate {

struct MergeOptions {
  std::filesystem::path subject, style, out;  // folders of palate personalize, of one base model
  std::string prompts_file;                   // with the subject's word and the style's; "": default prompts
  std::vector<double> weights = {0};
  int64_t pictures = 1;
  ZipOptions zip;
  ZipPictures zip_pictures;
};

// OUT/sum.safetensors, zip.safetensors, samples/, grid_sum.png, grid_zip.png, evaluation.json (which is returned), report.html. The same
// call goes on. UsageError when the folders are not a subject's and a style's of one model, or OUT holds something else.
Json merge_concepts(const MergeOptions& options);

}  // namespace palate
