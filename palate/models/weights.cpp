#include "palate/models/weights.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <map>

#include "palate/core/error.h"
#include "palate/io/tensor_file.h"
#include "palate/models/weight_files.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

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

void take(Tensor& parameter, const TensorFile& file, const std::string& key, const std::string& name, const LoadOptions& options) {
  const auto shape = file.shape(key), expected = parameter.sizes().vec();
  // 1x1 convolutions and linear layers stand for each other in old files.
  const bool fits = shape == expected ||
                    (without_ones(shape) == without_ones(expected) && (shape.size() == 4 || shape.size() == 2) && expected.size() >= 2);
  check<FormatError>(fits, file.path().string(), ": tensor '", name, "': expected shape ", show_shape(expected), ", found ",
                     show_shape(shape));
  const Tensor source = file.tensor(key);
  check<FormatError>(source.is_floating_point(), file.path().string(), ": tensor '", name, "': expected floating point, found ",
                     file.dtype(key));
  Tensor value =
      source.to(torch::TensorOptions().dtype(options.dtype).device(options.device), /*non_blocking=*/false, /*copy=*/true).view(expected);
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
    const TensorFile file(path);
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
  check<FormatError>(missing.empty(), last.string(), ": ", missing.size(),
                     " tensors are missing that config.json asks for: ", first_five(missing),
                     surplus.empty() ? "" : "; and these are there instead: " + first_five(surplus));
  check<FormatError>(surplus.empty(), last.string(), ": ", surplus.size(),
                     " tensors have no place in the model that config.json describes: ", first_five(surplus));
}

void save_weights(const torch::nn::Module& model, const fs::path& folder, const WeightNames& names) {
  TensorMap tensors;
  for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
  save_safetensors(folder / (names.stem + ".safetensors"), tensors, {{"format", "pt"}});
}

}  // namespace palate
