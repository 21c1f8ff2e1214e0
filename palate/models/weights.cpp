#include "palate/models/weights.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// "diffusion_pytorch_model" + "fp16" -> the file, or the shards that its index lists.
std::vector<fs::path> weight_files(const fs::path& folder, const std::string& stem, const std::string& variant) {
  const std::string infix = variant.empty() ? "" : "." + variant;
  const fs::path single = folder / (stem + infix + ".safetensors");
  if (fs::exists(single)) return {single};
  const fs::path index = folder / (stem + ".safetensors.index" + infix + ".json");
  if (fs::exists(index)) {
    const Json json = read_json(index);
    check<FormatError>(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), index.string(), ": expected a 'weight_map' from tensor to file");
    std::set<std::string> shards;
    for (const auto& [name, file] : json["weight_map"].items()) {
      check<FormatError>(file.is_string(), index.string(), ": weight_map['", name, "'] is not a file name");
      const std::string shard = file.get<std::string>();
      check<FormatError>(!shard.empty() && shard.find('/') == std::string::npos && shard.find('\\') == std::string::npos && shard != "..", index.string(), ": weight_map names '", shard,
                         "', which is no plain file name");
      shards.insert(shard);
    }
    std::vector<fs::path> files;
    for (const auto& shard : shards) files.push_back(folder / shard);
    return files;
  }
  const bool pickled = fs::exists(folder / (stem + ".bin")) || fs::exists(folder / "pytorch_model.bin");
  fail<UsageError>(folder.string(), ": expected ", single.filename().string(), ", found ", pickled ? "only a pickled .bin: convert it to safetensors first" : "no weights");
}

std::string first_five(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 5; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 5 ? text + " and " + std::to_string(names.size() - 5) + " more" : text;
}

std::vector<int64_t> without_ones(const std::vector<int64_t>& shape) {
  std::vector<int64_t> kept;
  for (const int64_t size : shape) {
    if (size != 1) kept.push_back(size);
  }
  return kept;
}

void take(Tensor& parameter, const SafetensorsFile& file, const std::string& key, const std::string& name, const LoadOptions& options) {
  const auto shape = file.shape(key), expected = parameter.sizes().vec();
  // 1x1 convolutions and linear layers stand for each other in old files.
  const bool fits = shape == expected || (without_ones(shape) == without_ones(expected) && (shape.size() == 4 || shape.size() == 2) && expected.size() >= 2);
  check<FormatError>(fits, file.path().string(), ": tensor '", name, "': expected shape ", show_shape(expected), ", found ", show_shape(shape));
  const Tensor source = file.tensor(key);
  check<FormatError>(source.is_floating_point(), file.path().string(), ": tensor '", name, "': expected floating point, found ", file.dtype(key));
  Tensor value = source.to(torch::TensorOptions().dtype(options.dtype).device(options.device), /*non_blocking=*/false, /*copy=*/true).view(expected);
  file.forget(key);
  parameter.set_data(value);
  parameter.set_requires_grad(false);
}

}  // namespace

void load_weights(torch::nn::Module& model, const fs::path& folder, const WeightNames& names, const LoadOptions& options) {
  std::map<std::string, Tensor> wanted;
  for (const auto& item : model.named_parameters()) wanted[item.key()] = item.value();
  std::vector<std::string> surplus;
  fs::path last;
  for (const auto& path : weight_files(folder, names.stem, options.variant)) {
    const SafetensorsFile file(path);
    last = path;
    for (const auto& key : file.names()) {
      const std::string name = names.current ? names.current(key) : key;
      const auto found = wanted.find(name);
      if (found != wanted.end()) {
        take(found->second, file, key, name, options);
        wanted.erase(found);
      } else if (!names.ignored || !names.ignored(name)) {
        surplus.push_back(name);
      }
    }
  }
  std::vector<std::string> missing;
  for (const auto& [name, parameter] : wanted) missing.push_back(name);
  check<FormatError>(missing.empty(), last.string(), ": ", missing.size(), " tensors are missing that config.json asks for: ", first_five(missing),
                     surplus.empty() ? "" : "; and these are there instead: " + first_five(surplus));
  check<FormatError>(surplus.empty(), last.string(), ": ", surplus.size(), " tensors have no place in the model that config.json describes: ", first_five(surplus));
}

void save_weights(const torch::nn::Module& model, const fs::path& folder, const WeightNames& names) {
  TensorMap tensors;
  for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
  save_safetensors(folder / (names.stem + ".safetensors"), tensors, {{"format", "pt"}});
}

}  // namespace palate
