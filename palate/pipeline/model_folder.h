// What a model folder in diffusers' layout says about itself: model_index.json and the components' configs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/io/json.h"

namespace palate {

// What a model folder calls its denoising network: "unet", or "transformer" in models of transformers. The one place that knows.
inline constexpr const char* unet_component = "unet";
const std::vector<std::string>& denoiser_components();

class ModelFolder {
 public:
  // FOLDER may be ORG/NAME, a repository in the Hugging Face cache (hub/model_path.h). UsageError when it is missing or holds no
  // model_index.json; FormatError when that is not an index.
  explicit ModelFolder(std::filesystem::path folder);

  const std::filesystem::path& path() const { return path_; }
  const std::string& class_name() const { return class_name_; }               // "StableDiffusionPipeline"
  const std::vector<std::string>& components() const { return components_; }  // in order, without those that are null
  bool has(const std::string& component) const;
  // Its folder. UsageError when the index does not name it or the folder is not there.
  std::filesystem::path component(const std::string& name) const;
  bool option(const std::string& key, bool otherwise) const;   // one of model_index.json's true-or-false options
  std::string component_class(const std::string& name) const;  // "UNet2DConditionModel"; "" when it is not there
  // The one of denoiser_components() that the index names. UsageError when it names none.
  const std::string& denoiser_component() const;

 private:
  std::filesystem::path path_;
  std::string class_name_;
  std::vector<std::string> components_, classes_;
  std::map<std::string, bool> options_;
};

// "", or a sentence that this is SDXL's refiner (requires_aesthetics_score, or a U-Net that takes five numbers beside the pooled text),
// which is not supported, and what to do.
std::string refiner_sentence(const ModelFolder& folder);

// SHA-256 over the names and contents of a component's configs, vocabularies and weights, in the order of their names.
std::string component_hash(const std::filesystem::path& folder);

}  // namespace palate
