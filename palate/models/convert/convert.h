// A whole model from one layout to the other: diffusers' folder, or a single file as CompVis and Stability name its tensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace palate {

struct ConvertOptions {
  std::string variant;              // of the folder's weights that are read
  std::string prediction_type;      // "epsilon" or "v_prediction"; "" is what the file says, else the family's
  std::filesystem::path config;     // a model folder whose configs, scheduler and tokenizers are taken as they are; may be empty
  std::filesystem::path tokenizer;  // a tokenizer's folder; may be empty
  std::filesystem::path merges;     // CLIP's merges.txt, for models with its 49408 tokens when no tokenizer is given
};

struct Converted {
  std::string family, prediction_type;
  std::vector<std::string> left_out;  // names of tensors that the other layout has no place for
  int64_t tensors = 0;                // written
};

// Tensors keep their dtype. Nothing is there before all of it is, and nothing is replaced. UsageError for a file that is no single file of
// a family that is known, or when the tokenizer is not; FormatError for tensors without a place.
Converted convert_to_folder(const std::filesystem::path& file, const std::filesystem::path& folder, const ConvertOptions& options);
Converted convert_to_single(const std::filesystem::path& folder, const std::filesystem::path& file, const ConvertOptions& options);

}  // namespace palate
