#include "palate/inspect/describe.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/hub/model_path.h"
#include "palate/inspect/describe_data.h"
#include "palate/io/atomic_file.h"
#include "palate/io/tensor_file.h"
#include "palate/models/convert/recognise.h"
#include "palate/models/weight_files.h"
#include "palate/pipeline/model_folder.h"
#include "palate/train/checkpoint.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

constexpr int64_t rows_to_look_at = 1000;  // of training data

int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t side : shape) count *= side;
  return count;
}

void add_count(Json& counts, const std::string& key, int64_t count) { counts[key] = counts.value(key, int64_t{0}) + count; }

// The down projection's key ends like this in the spellings that are about (docs/formats.md, section 7).
struct Spelling {
  const char* name;
  const char* down;
};
constexpr Spelling spellings[] = {
    {"diffusers or peft", ".lora_A"},          {"kohya", ".lora_down.weight"},
    {"older diffusers", ".lora.down.weight"},  {"older diffusers", ".lora_linear_layer.down.weight"},
    {"oldest diffusers", "_lora.down.weight"},
};

void describe_lora(const TensorFile& file, Json& out) {
  int64_t layers = 0;
  Json ranks = Json::object(), alphas = Json::array();
  for (const auto& name : file.names()) {
    for (const auto& spelling : spellings) {
      if (name.find(spelling.down) == std::string::npos || file.shape(name).size() < 2) continue;
      out["spelling"] = spelling.name;
      add_count(ranks, std::to_string(file.shape(name)[0]), 1);
      ++layers;
      break;
    }
    if (!name.ends_with(".alpha") || count_of(file.shape(name)) != 1) continue;
    const double alpha = file.tensor(name).item<double>();
    if (std::find(alphas.begin(), alphas.end(), alpha) == alphas.end()) alphas.push_back(alpha);
  }
  for (const int64_t rank : listed_lora_ranks(file)) {
    out["spelling"] = "a list without names";
    add_count(ranks, std::to_string(rank), 1);
    ++layers;
  }
  if (layers == 0) return;
  out["kind"] = "lora";
  out["layers"] = layers;
  out["ranks"] = ranks;
  if (!alphas.empty()) out["alphas"] = alphas;
}

// The files that are loaded without a variant, else those of the first variant that is there.
std::vector<fs::path> weights_in(const fs::path& folder) {
  for (const char* stem : {"diffusion_pytorch_model", "model"}) {
    for (const char* variant : {"", "fp16", "bf16", "fp32", "non_ema"}) {
      try {
        return weight_files(folder, stem, variant);
      } catch (const UsageError&) {  // none of this name
      }
    }
  }
  return {};
}

Json describe_component(const fs::path& folder, const std::string& class_name) {
  Json out = {{"class", class_name}};
  if (!fs::is_directory(folder)) {
    out["missing"] = true;
    return out;
  }
  int64_t parameters = 0;
  uintmax_t bytes = 0;
  Json dtypes = Json::object();
  for (const auto& path : weights_in(folder)) {
    const Json file = describe_weights(path, TensorNames::left_out);
    parameters += file["parameters"].get<int64_t>();
    bytes += fs::file_size(path);
    for (const auto& [dtype, count] : file["dtypes"].items()) add_count(dtypes, dtype, count.get<int64_t>());
  }
  if (bytes > 0) out.update(Json{{"parameters", parameters}, {"bytes", bytes}, {"dtypes", dtypes}});
  return out;
}

// A component by itself: unet/ with its config.json.
Json describe_component_folder(const fs::path& folder) {
  const Json config = read_json(folder / "config.json");
  std::string name = "a model";
  if (config.is_object() && config.contains("_class_name") && config["_class_name"].is_string())
    name = config["_class_name"].get<std::string>();
  const bool listed =
      config.is_object() && config.contains("architectures") && config["architectures"].is_array() && !config["architectures"].empty();
  if (listed && config["architectures"][0].is_string()) name = config["architectures"][0].get<std::string>();
  const std::string key = folder.filename().empty() ? folder.parent_path().filename().string() : folder.filename().string();
  return {{"kind", "model"}, {"folder", folder.string()}, {"class", name}, {"components", {{key, describe_component(folder, name)}}}};
}

std::string last_line(const fs::path& path) {
  std::string text = read_file(path);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

Json describe_weights(const fs::path& path, TensorNames names) {
  const TensorFile file(path);
  Json out = {{"kind", "weights"}, {"file", path.string()}, {"bytes", fs::file_size(path)}, {"tensors", file.names().size()}};
  int64_t parameters = 0;
  Json dtypes = Json::object(), shapes = Json::object();
  for (const auto& name : file.names()) {
    const auto shape = file.shape(name);
    parameters += count_of(shape);
    add_count(dtypes, file.dtype(name), count_of(shape));
    if (names == TensorNames::listed) shapes[name] = file.dtype(name) + " " + show_shape(shape);
  }
  out["parameters"] = parameters;
  out["dtypes"] = dtypes;
  describe_lora(file, out);
  if (const std::string architecture = architecture_of(file); out["kind"] == "weights" && !architecture.empty())
    out["architecture"] = architecture;
  out["format"] = file.pickled() ? "torch.save" : "safetensors";
  out["metadata"] = file.metadata();
  if (names == TensorNames::listed) out["shapes"] = shapes;
  return out;
}

Json describe_model(const fs::path& folder) {
  const ModelFolder model(folder);
  Json components = Json::object();
  for (const auto& name : model.components()) components[name] = describe_component(folder / name, model.component_class(name));
  Json out = {{"kind", "model"}, {"folder", folder.string()}, {"class", model.class_name()}, {"components", components}};
  if (const std::string refiner = refiner_sentence(model); !refiner.empty()) out["unsupported"] = refiner;
  return out;
}

Json describe_run(const fs::path& folder) {
  Json out = {{"kind", "run"}, {"folder", folder.string()}};
  std::vector<std::string> checkpoints, files;
  for (const int64_t step : checkpoint_steps(folder)) checkpoints.push_back(checkpoint_path("", step).string());
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && !name.starts_with(".")) files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  out["checkpoints"] = checkpoints;
  if (fs::exists(folder / "metrics.jsonl")) {
    const std::string line = last_line(folder / "metrics.jsonl");
    if (!line.empty()) out["last"] = parse_json(line, (folder / "metrics.jsonl").string());
  }
  out["files"] = files;
  return out;
}

Json describe(const fs::path& given, TensorNames names) {
  const fs::path path = model_path(given);
  if (!fs::is_directory(path)) return is_data(path) ? describe_data(path, rows_to_look_at) : describe_weights(path, names);
  if (fs::exists(path / "model_index.json")) return describe_model(path);
  if (fs::exists(path / "config.resolved.toml") || fs::exists(path / "metrics.jsonl")) return describe_run(path);
  if (fs::exists(path / "config.json")) return describe_component_folder(path);
  if (is_data(path)) return describe_data(path, rows_to_look_at);
  fail<UsageError>(path.string(),
                   ": neither a model folder (model_index.json), nor a run (config.resolved.toml), nor training data, nor a weights file");
}

}  // namespace palate
