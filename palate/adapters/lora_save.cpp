// The two files that other programs read: diffusers' and kohya's.
#include <torch/types.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/adapters/lora_adapter.h"
#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"
#include "palate/io/json.h"

namespace palate {
namespace {

// A whole number as one, as Python's json would write it.
Json number(double value) {
  const bool whole = std::abs(value) < 1e15 && value == std::trunc(value);
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}
Json number(int64_t value) { return value; }

// The value that most layers have: peft keeps that one, and the others by name.
template <class Value>
Value commonest(const std::map<std::string, Value>& values) {
  std::map<Value, int> counts;
  for (const auto& [name, value] : values) ++counts[value];
  Value best = values.begin()->second;
  for (const auto& [value, count] : counts) {
    if (count > counts[best]) best = value;
  }
  return best;
}

template <class Value>
Json exceptions(const std::map<std::string, Value>& values, Value usual) {
  Json pattern = Json::object();
  for (const auto& [name, value] : values) {
    if (value != usual) pattern[name] = number(value);
  }
  return pattern;
}

struct Sizes {
  std::map<std::string, int64_t> ranks;
  std::map<std::string, double> alphas;
};

// What diffusers puts into `lora_adapter_metadata`: peft's configuration with the component's prefix, keys sorted. Only keys
// that every peft release knows, since LoraConfig(**metadata) refuses others.
Json peft_config(const Sizes& sizes, const LoraConfig& config) {
  const int64_t rank = commonest(sizes.ranks);
  const double alpha = commonest(sizes.alphas);
  Json targets = config.targets;
  for (const auto& target : config.targets) {
    if (target.find('*') == std::string::npos) continue;
    targets = Json::array();  // a pattern that only we understand: every name in full
    for (const auto& entry : sizes.ranks) targets.push_back(entry.first);
    break;
  }
  Json peft;
  peft["unet.alpha_pattern"] = exceptions(sizes.alphas, alpha);
  peft["unet.bias"] = "none";
  peft["unet.lora_alpha"] = number(alpha);
  peft["unet.lora_dropout"] = config.dropout;
  peft["unet.r"] = rank;
  peft["unet.rank_pattern"] = exceptions(sizes.ranks, rank);
  peft["unet.target_modules"] = targets;
  peft["unet.use_dora"] = false;
  peft["unet.use_rslora"] = false;
  return peft;
}

}  // namespace

void Lora::save(const std::filesystem::path& folder, const Metadata& metadata) const {
  check(!state_->layers.empty(), "a LoRA without layers cannot be saved to ", folder.string());
  TensorMap diffusers, kohya;
  Sizes sizes;
  for (const auto& item : state_->layers) {
    sizes.ranks[item.name] = item.adapter->rank();
    sizes.alphas[item.name] = item.adapter->alpha;
  }
  // diffusers (0.42) loses the .alpha of attention layers where alphas differ, so the twin has one for all, and B makes up for it.
  const double alpha = commonest(sizes.alphas);
  for (const auto& item : state_->layers) {
    const LoraAdapter& adapter = *item.adapter;
    diffusers["unet." + item.name + ".lora_A.weight"] = adapter.down.detach();
    diffusers["unet." + item.name + ".lora_B.weight"] = adapter.up.detach();
    const std::string name = kohya_name(item.name);
    kohya[name + ".lora_down.weight"] = adapter.down.detach();
    kohya[name + ".lora_up.weight"] = adapter.alpha == alpha ? adapter.up.detach() : adapter.up.detach() * (adapter.alpha / alpha);
    kohya[name + ".alpha"] = torch::tensor(alpha, torch::kFloat32);
  }
  const Json peft = peft_config(sizes, state_->config);
  Metadata first = metadata, second = metadata;
  first["format"] = "pt";
  first["lora_adapter_metadata"] = peft.dump(2);
  second["ss_network_module"] = "networks.lora";
  second["ss_network_dim"] = peft["unet.rank_pattern"].empty() ? peft["unet.r"].dump() : "Dynamic";
  second["ss_network_alpha"] = peft["unet.lora_alpha"].dump();
  second["modelspec.sai_model_spec"] = "1.0.0";
  second["modelspec.implementation"] = "diffusers";
  second.emplace("modelspec.title", "LoRA trained with Palate");
  save_safetensors(folder / "pytorch_lora_weights.safetensors", diffusers, first);
  save_safetensors(folder / "pytorch_lora_weights.kohya.safetensors", kohya, second);
}

}  // namespace palate
