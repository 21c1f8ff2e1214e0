// A folder with a CLIPModel as one object that says how well pictures fit their prompts, as PickScore does (2305.01569).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "palate/models/clip/clip_model.h"
#include "palate/pipeline/clip_image_processor.h"
#include "palate/text/clip_tokenizer.h"

namespace palate {

class ClipScorer {
 public:
  // FOLDER in transformers' layout (or ORG/NAME in the hub's cache): config.json and weights of a CLIPModel, the tokenizer's files,
  // preprocessor_config.json (without one, CLIP's own). UsageError when it is not there, is of another class or lacks a file.
  explicit ClipScorer(const std::filesystem::path& folder, const LoadOptions& options = {});
  // FOLDER's config.json with fresh weights keyed by `seed`, and the tokenizer of the folder TOKENIZER (empty: FOLDER's own).
  static ClipScorer fresh(const std::filesystem::path& folder, const std::filesystem::path& tokenizer, uint64_t seed);

  ClipModel& model() { return *model_; }
  const ClipImageProcessor& images() const { return images_; }
  Tensor ids(const std::vector<std::string>& prompts) const;  // int64 [B, L]
  // pictures uint8 [n B, 3, S, S] as images().fit() makes them, ids [B, L]; picture i against text i mod B -> float32 [n B], with gradients
  // where the weights have them. On the model's device.
  Tensor scores(const Tensor& pictures, const Tensor& ids);

  // The folder, whole: config.json, model.safetensors, tokenizer, preprocessor_config.json.
  void save(const std::filesystem::path& folder) const;
  // Of the weights that are held: takes those of a folder that save() wrote.
  void read_weights(const std::filesystem::path& folder);
  std::string hash() const;  // of the files that it was opened from

 private:
  ClipScorer(std::unique_ptr<ClipModel> model, const std::filesystem::path& folder, const std::filesystem::path& tokenizer);
  std::filesystem::path folder_, tokenizer_folder_;
  std::unique_ptr<ClipModel> model_;
  ClipTokenizer tokenizer_;
  ClipImageProcessor images_;
};

}  // namespace palate
