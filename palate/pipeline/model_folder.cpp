#include "palate/pipeline/model_folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/hub/model_path.h"

namespace palate {
namespace fs = std::filesystem;

const std::vector<std::string>& denoiser_components() {
  static const std::vector<std::string> names = {unet_component, "transformer"};
  return names;
}

ModelFolder::ModelFolder(fs::path folder) : path_(model_path(folder)) {
  const fs::path index_path = path_ / "model_index.json";
  check<UsageError>(fs::is_directory(path_), path_.string(), ": expected a model folder, found a file");
  check<UsageError>(fs::exists(index_path), path_.string(), ": not a model folder in diffusers' layout: it holds no model_index.json");
  const Json index = read_json(index_path);
  const bool named = index.is_object() && index.contains("_class_name") && index["_class_name"].is_string();
  check<FormatError>(named, index_path.string(), ": expected an object with _class_name");
  class_name_ = index["_class_name"].get<std::string>();
  for (const auto& [key, value] : index.items()) {
    if (value.is_boolean()) options_[key] = value.get<bool>();
    // A component is a pair of library and class; anything else is an option of the pipeline.
    if (key.starts_with("_") || !value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_string()) continue;
    components_.push_back(key);
    classes_.push_back(value[1].get<std::string>());
  }
}

bool ModelFolder::has(const std::string& component) const {
  return std::find(components_.begin(), components_.end(), component) != components_.end();
}

bool ModelFolder::option(const std::string& key, bool otherwise) const {
  const auto found = options_.find(key);
  return found == options_.end() ? otherwise : found->second;
}

fs::path ModelFolder::component(const std::string& name) const {
  check<UsageError>(has(name), path_.string(), ": this ", class_name_, " has no ", name, " (its model_index.json names ",
                    one_of(components_), ")");
  const fs::path folder = path_ / name;
  check<UsageError>(fs::is_directory(folder), folder.string(), ": model_index.json names this folder, but it is not there");
  return folder;
}

const std::string& ModelFolder::denoiser_component() const {
  for (const auto& name : denoiser_components()) {
    if (has(name)) return name;
  }
  fail<UsageError>(path_.string(), ": this ", class_name_, " has no denoising network: expected ", one_of(denoiser_components()),
                   " in model_index.json, which names ", one_of(components_));
}

std::string ModelFolder::component_class(const std::string& name) const {
  const auto found = std::find(components_.begin(), components_.end(), name);
  return found == components_.end() ? "" : classes_[static_cast<size_t>(found - components_.begin())];
}

namespace {

// 0 where the config does not say.
int64_t whole_number(const fs::path& config_path, const char* key) {
  if (!fs::exists(config_path)) return 0;
  const Json config = read_json(config_path);
  return config.is_object() && config.contains(key) && config[key].is_number_integer() ? config[key].get<int64_t>() : 0;
}

// The refiner's time embedding joins size, crop and score, where the base's has two numbers for each of its three sizes.
bool takes_score(const fs::path& folder, const std::string& denoiser) {
  const fs::path config = folder / denoiser / "config.json";
  const int64_t input = whole_number(config, "projection_class_embeddings_input_dim");
  const int64_t width = whole_number(config, "addition_time_embed_dim");
  const int64_t text = whole_number(folder / "text_encoder_2/config.json", "projection_dim");
  return text > 0 && width > 0 && input == text + 5 * width;
}

}  // namespace

std::string refiner_sentence(const ModelFolder& folder) {
  const auto& names = denoiser_components();
  const bool scored = std::any_of(names.begin(), names.end(), [&](const auto& name) { return takes_score(folder.path(), name); });
  if (!folder.option("requires_aesthetics_score", false) && !scored) return "";
  return folder.path().string() +
         ": this is SDXL's refiner, which is conditioned on an aesthetic score and is not supported: use the base model "
         "(stabilityai/stable-diffusion-xl-base-1.0)";
}

std::string component_hash(const fs::path& folder) {
  check<UsageError>(fs::is_directory(folder), folder.string(), ": there is no such component folder");
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string ending = entry.path().extension().string();
    if (entry.is_regular_file() && (ending == ".json" || ending == ".txt" || ending == ".safetensors" || ending == ".bin"))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Sha256 hash;
  for (const auto& file : files) hash.update(file.filename().string()).update("\n").update(sha256_file(file)).update("\n");
  return hash.hex();
}

}  // namespace palate
