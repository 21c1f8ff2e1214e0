// LoRA files in any of their spellings.
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/adapters/lora_adapter.h"
#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct Halves {
  Tensor down, up;
  std::string down_key, up_key;
  double alpha = 0;  // 0: the file does not say
};

// Where alpha is kept when it is not a tensor: peft's configuration, in the file's metadata or in adapter_config.json.
class AlphaRule {
 public:
  AlphaRule(const SafetensorsFile& file) {
    const std::string origin = file.path().string() + ": lora_adapter_metadata";
    const fs::path beside = file.path().parent_path() / "adapter_config.json";
    if (const auto entry = file.metadata().find("lora_adapter_metadata"); entry != file.metadata().end()) {
      config_ = parse_json(entry->second, origin);
      prefix_ = "unet.";
    } else if (file.path().filename() == "adapter_model.safetensors" && fs::exists(beside)) {
      config_ = read_json(beside);
    }
    check<FormatError>(config_.is_null() || config_.is_object(), origin, ": expected a JSON object");
  }

  // 0 when nothing is said of it.
  double alpha(const std::string& module, int64_t rank) const {
    double value = number(find("lora_alpha"));
    if (const Json* pattern = find("alpha_pattern"); pattern && pattern->is_object()) {
      for (const auto& [key, entry] : pattern->items()) {
        const std::string_view name = std::string_view(key).substr(key.starts_with('^') ? 1 : 0);
        if (matches_target(module, name)) value = number(&entry);
      }
    }
    const Json* rslora = find("use_rslora");  // the update is scaled by alpha / sqrt(rank)
    if (rslora && rslora->is_boolean() && rslora->get<bool>()) value *= std::sqrt(static_cast<double>(rank));
    return value;
  }

 private:
  const Json* find(const std::string& key) const {
    if (!config_.is_object()) return nullptr;
    const auto entry = config_.find(prefix_ + key);
    return entry == config_.end() ? nullptr : &*entry;
  }
  static double number(const Json* value) { return value && value->is_number() ? value->get<double>() : 0; }

  Json config_;
  std::string prefix_;
};

Tensor read_float(const SafetensorsFile& file, const std::string& key) {
  const Tensor tensor = file.tensor(key);
  check<FormatError>(tensor.is_floating_point(), file.path().string(), ": ", key, " has dtype ", file.dtype(key),
                     ", expected a floating-point type");
  return tensor.to(torch::kFloat32);
}

// Brings a half to the layer's number of dimensions: kohya keeps the adapters of some 1x1 convolutions as matrices, and the
// other way round.
Tensor fit(const Tensor& half, int64_t dims) {
  if (half.dim() == 2 && dims == 4) return half.unsqueeze(-1).unsqueeze(-1);
  if (half.dim() == 4 && dims == 2 && half.size(2) == 1 && half.size(3) == 1) return half.flatten(1);
  return half;
}

void check_shape(const SafetensorsFile& file, const std::string& key, const Tensor& half, const std::vector<int64_t>& expected) {
  check<UsageError>(half.sizes().vec() == expected, file.path().string(), ": ", key, " has shape ", show_shape(half.sizes()),
                    ", but the layer needs ", show_shape(expected), ": this LoRA was made for another model");
}

void check_halves(const SafetensorsFile& file, const std::string& name, Halves& halves, const Tensor& weight) {
  check<UsageError>(halves.down.defined() && halves.up.defined(), file.path().string(), ": the ",
                    halves.down.defined() ? "up (B)" : "down (A)", " half for ", name, " is missing: the file is not whole");
  halves.down = fit(halves.down, weight.dim());
  halves.up = fit(halves.up, weight.dim());
  std::vector<int64_t> down = weight.sizes().vec(), up(down.size(), 1);
  const int64_t rank = halves.down.size(0);
  check<UsageError>(rank > 0, file.path().string(), ": ", halves.down_key, " has rank 0");
  up[0] = down[0];
  up[1] = rank;
  down[0] = rank;
  check_shape(file, halves.down_key, halves.down, down);
  check_shape(file, halves.up_key, halves.up, up);
}

std::vector<Halves> read_halves(const SafetensorsFile& file, const std::vector<NamedAdaptable>& layers) {
  std::vector<std::string> modules;
  for (const auto& item : layers) modules.push_back(item.name);
  const LoraNames names(modules);
  std::vector<Halves> all(layers.size());
  std::vector<std::string> homeless;
  for (const auto& key : file.names()) {
    const auto home = names.find(key);
    if (!home) {
      homeless.push_back(key);
      continue;
    }
    Halves& halves = all[home->layer];
    const Tensor value = read_float(file, key);
    if (home->role == LoraRole::alpha) {
      check<FormatError>(value.numel() == 1, file.path().string(), ": ", key, " has shape ", show_shape(value.sizes()),
                         ", expected one number");
      halves.alpha = value.item<double>();
      continue;
    }
    const bool down = home->role == LoraRole::down;
    std::string& earlier = down ? halves.down_key : halves.up_key;
    check<UsageError>(earlier.empty(), file.path().string(), ": ", earlier, " and ", key, " name the same half of one adapter");
    check<UsageError>(value.dim() >= 2, file.path().string(), ": ", key, " has shape ", show_shape(value.sizes()),
                      ", expected a matrix or a kernel");
    earlier = key;
    (down ? halves.down : halves.up) = value;
  }
  if (!homeless.empty()) {
    std::string some;
    for (size_t i = 0; i < homeless.size() && i < 5; ++i) some += (i ? ", " : "") + homeless[i];
    fail<UsageError>(file.path().string(), ": ", homeless.size(), " of ", file.names().size(), " keys have no home in this model: ", some,
                     homeless.size() > 5 ? ", ..." : "", ": it was made for another model, or is no LoRA");
  }
  return all;
}

}  // namespace

Lora Lora::load(torch::nn::Module& model, const fs::path& path, double weight) {
  const SafetensorsFile file(path);
  const AlphaRule rule(file);
  const auto layers = adaptable_layers(model);
  auto found = read_halves(file, layers);

  std::vector<size_t> used;  // all is checked before the model is touched
  for (size_t i = 0; i < layers.size(); ++i) {
    Halves& halves = found[i];
    if (halves.down_key.empty() && halves.up_key.empty() && halves.alpha == 0) continue;
    check_halves(file, layers[i].name, halves, layers[i].layer->base_weight());
    const int64_t rank = halves.down.size(0);
    if (!(halves.alpha > 0)) halves.alpha = rule.alpha(layers[i].name, rank);
    if (!(halves.alpha > 0)) halves.alpha = static_cast<double>(rank);
    check<UsageError>(std::isfinite(halves.alpha), path.string(), ": alpha of ", layers[i].name, " is not finite");
    used.push_back(i);
  }
  check<UsageError>(!used.empty(), path.string(), ": there is no LoRA tensor in this file");
  auto state = std::make_unique<State>();
  state->config.targets.clear();
  for (size_t i : used) {
    state->hang(layers[i].name, *layers[i].layer, found[i].down, found[i].up, found[i].alpha);
    state->config.targets.push_back(layers[i].name);
  }
  state->config.rank = state->layers.front().adapter->rank();
  state->config.alpha = state->layers.front().adapter->alpha;
  Lora lora(std::move(state));
  lora.set_weight(weight);
  return lora;
}

}  // namespace palate
