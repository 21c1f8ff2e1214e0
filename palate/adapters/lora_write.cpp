// The files that other programs read: diffusers', peft's and kohya's.
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/adapters/lora_file.h"
#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// A whole number as one, as Python's json would write it.
Json number(double value) {
  const bool whole = std::abs(value) < 1e15 && value == std::trunc(value);
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

// The value that most layers have: peft keeps that one, and the others by name.
double commonest(const std::map<std::string, double>& values) {
  std::map<double, int> counts;
  for (const auto& [name, value] : values) ++counts[value];
  double best = values.begin()->second;
  for (const auto& [value, count] : counts) {
    if (count > counts[best]) best = value;
  }
  return best;
}

// In peft's configuration, the end of a text encoder's layer: it fits with "text_model." (transformers 4) and without (5).
std::string without_text_model(const std::string& name) {
  constexpr std::string_view start = "text_model.";
  return name.starts_with(start) ? name.substr(start.size()) : name;
}

Json exceptions(const std::map<std::string, double>& values, double usual) {
  Json pattern = Json::object();
  for (const auto& [name, value] : values) {
    if (value != usual) pattern[without_text_model(name)] = number(value);
  }
  return pattern;
}

std::map<std::string, double> ranks_of(const LoraModules& modules) {
  std::map<std::string, double> ranks;
  for (const auto& [name, module] : modules) ranks[name] = static_cast<double>(module.rank());
  return ranks;
}

std::map<std::string, double> alphas_of(const LoraModules& modules) {
  std::map<std::string, double> alphas;
  for (const auto& [name, module] : modules) alphas[name] = static_cast<double>(module.alpha);
  return alphas;
}

// Only keys that every peft release knows, since LoraConfig(**metadata) refuses others; sorted.
Json peft_config(const LoraFile& lora, const LoraModules& modules) {
  const auto ranks = ranks_of(modules), alphas = alphas_of(modules);
  const double rank = commonest(ranks), alpha = commonest(alphas);
  Json targets = lora.targets.empty() ? Json::array() : Json(lora.targets);
  for (const auto& [name, module] : modules) {
    if (lora.targets.empty()) targets.push_back(without_text_model(name));
  }
  bool dora = false;
  for (const auto& [name, module] : modules) dora = dora || module.magnitude.defined();
  Json peft;
  peft["alpha_pattern"] = exceptions(alphas, alpha);
  peft["bias"] = "none";
  peft["lora_alpha"] = number(alpha);
  peft["lora_dropout"] = lora.dropout;
  peft["r"] = number(rank);
  peft["rank_pattern"] = exceptions(ranks, rank);
  peft["target_modules"] = targets;
  peft["use_dora"] = dora;
  peft["use_rslora"] = false;
  return peft;
}

void check_dora(const LoraFile& lora) {
  for (const auto& [component, modules] : lora.components) {
    size_t with = 0;
    for (const auto& [name, module] : modules) {
      if (!module.magnitude.defined()) continue;
      ++with;
      check<UsageError>(module.magnitude.size(0) == module.up.size(0), lora.origin, ": the DoRA of ", name,
                        " has a norm for each input, which only the kohya spelling can say: convert it --to kohya");
    }
    check<UsageError>(with == 0 || with == modules.size(), lora.origin, ": ", with, " of ", modules.size(), " layers of ", component,
                      " have a DoRA magnitude, which peft cannot say of a part of them: convert it --to kohya");
  }
}

void put_peft(TensorMap& out, const std::string& prefix, const LoraModules& modules, bool bare = false) {
  for (const auto& [full, module] : modules) {
    const std::string name = bare ? without_text_model(full) : full;
    out[prefix + name + ".lora_A.weight"] = module.down;
    out[prefix + name + ".lora_B.weight"] = module.up;
    if (!module.magnitude.defined()) continue;
    const bool kernel = module.down.dim() == 4;
    out[prefix + name + ".lora_magnitude_vector"] = kernel ? module.magnitude.reshape({1, -1, 1, 1}) : module.magnitude.flatten();
  }
}

bool power_of_two(double value) {
  int exponent = 0;
  return std::frexp(value, &exponent) == 0.5;
}

// diffusers (0.42) loses the .alpha of attention layers where alphas differ. Where a shift of the exponent does it without touching a
// digit, each layer gets the commonest alpha, and its up half makes up for that.
struct EvenAlpha {
  explicit EvenAlpha(const LoraModules& modules) : alpha(commonest(alphas_of(modules))) {
    for (const auto& [name, module] : modules) even = even && exact(module);
  }
  Tensor up(const LoraModule& module) const { return !even || module.alpha == alpha ? module.up : module.up * (module.alpha / alpha); }
  double of(const LoraModule& module) const { return even ? alpha : module.alpha; }

  double alpha;
  bool even = true;

 private:
  bool exact(const LoraModule& module) const {
    const double ratio = module.alpha / alpha;
    if (ratio == 1) return true;
    return power_of_two(ratio) && (module.up * ratio / ratio).equal(module.up);  // not where a small type over- or underflows
  }
};

bool two_text_encoders(const LoraFile& lora) {
  if (lora.components.contains("text_encoder_2")) return true;
  const auto unet = lora.components.find("unet");
  if (unet == lora.components.end()) return false;
  for (const auto& [name, module] : unet->second) {  // SDXL's alone
    if (name.find("transformer_blocks.1.") != std::string::npos || name.starts_with("add_embedding")) return true;
  }
  return false;
}

std::map<std::string, std::string> block_names(const LoraModules& modules, const LayerShapes* unet) {
  if (unet) return sgm_names(*unet);
  std::map<std::string, std::string> names;
  const auto known = sgm_names(stable_diffusion_layers().find("unet")->second);
  for (const auto& [name, module] : modules) {
    if (const auto home = known.find(name); home != known.end()) names[name] = home->second;
  }
  // In SDXL and SD alike the last block that doubles the size with attentions, if any, says where its upsampler stands: not known here.
  for (const auto& [name, module] : modules) {
    check<UsageError>(name.find("upsamplers") == std::string::npos, "the sgm name of ", name,
                      " depends on the model: name it with --model");
  }
  return names;
}

void put_kohya(TensorMap& out, const LoraFile& lora, const std::string& component, bool sgm, const LayerShapes* unet) {
  const LoraModules& modules = lora.components.find(component)->second;
  const EvenAlpha alphas(modules);
  std::map<std::string, std::string> names;
  if (sgm && component == "unet") names = block_names(modules, unet);
  const bool two = two_text_encoders(lora);
  for (const auto& [module_name, module] : modules) {
    const auto renamed = names.find(module_name);
    std::string module_path = renamed == names.end() ? module_name : renamed->second;
    if (module_path.starts_with("add_embedding."))
      module_path = sgm_name(module_path, 2, false);  // diffusers (0.42) garbles its own name of it
    const std::string name = kohya_name(component, module_path, two);
    out[name + ".lora_down.weight"] = module.down;
    out[name + ".lora_up.weight"] = alphas.up(module);
    out[name + ".alpha"] = torch::tensor(alphas.of(module), torch::kFloat32);
    if (module.magnitude.defined())
      out[name + ".dora_scale"] = module.down.dim() == 4 ? module.magnitude.unsqueeze(-1).unsqueeze(-1) : module.magnitude;
  }
}

Metadata kohya_metadata(const LoraFile& lora) {
  std::map<std::string, double> ranks, alphas;
  for (const auto& [component, modules] : lora.components) {
    for (const auto& [name, value] : ranks_of(modules)) ranks[component + name] = value;
    for (const auto& [name, value] : alphas_of(modules)) alphas[component + name] = value;
  }
  const double rank = commonest(ranks);
  Metadata out = {{"ss_network_module", "networks.lora"},
                  {"ss_network_alpha", number(commonest(alphas)).dump()},
                  {"modelspec.sai_model_spec", "1.0.0"}};
  out["ss_network_dim"] = exceptions(ranks, rank).empty() ? number(rank).dump() : "Dynamic";
  out["modelspec.implementation"] = "diffusers";
  out["modelspec.title"] = "LoRA";
  return out;
}

void write_peft(const fs::path& folder, const LoraFile& lora) {
  check_dora(lora);
  for (const auto& [component, modules] : lora.components) {
    const fs::path place = lora.components.size() == 1 ? folder : folder / component;
    make_folder(place);
    TensorMap tensors;
    put_peft(tensors, "base_model.model.", modules, lora.bare_text_names && component == "text_encoder");
    save_safetensors(place / "adapter_model.safetensors", tensors, {{"format", "pt"}});
    Json config = peft_config(lora, modules);
    config["peft_type"] = "LORA";
    config["task_type"] = nullptr;
    config["inference_mode"] = true;
    write_json(place / "adapter_config.json", config);
  }
}

struct Spelling {
  const char* name;
  LoraSpelling value;
};
constexpr Spelling spellings[] = {{"diffusers", LoraSpelling::diffusers},
                                  {"peft", LoraSpelling::peft},
                                  {"kohya", LoraSpelling::kohya},
                                  {"kohya-sgm", LoraSpelling::kohya_sgm}};

}  // namespace

const std::vector<std::string>& lora_spellings() {
  static const std::vector<std::string> names = {"diffusers", "peft", "kohya", "kohya-sgm"};
  return names;
}

LoraSpelling parse_lora_spelling(const std::string& name) {
  for (const auto& spelling : spellings) {
    if (name == spelling.name) return spelling.value;
  }
  fail<UsageError>("--to ", name, ": expected ", one_of(lora_spellings()), did_you_mean(name, lora_spellings()));
}

TensorMap lora_tensors(const LoraFile& lora, LoraSpelling spelling, const LayerShapes* unet) {
  const torch::NoGradGuard no_grad;
  TensorMap out;
  const bool kohya = spelling == LoraSpelling::kohya || spelling == LoraSpelling::kohya_sgm;
  if (!kohya) check_dora(lora);
  for (const auto& [component, modules] : lora.components) {
    if (kohya)
      put_kohya(out, lora, component, spelling == LoraSpelling::kohya_sgm, unet);
    else
      put_peft(out, spelling == LoraSpelling::peft ? "base_model.model." : component + ".", modules);
  }
  for (auto& [name, tensor] : out) tensor = tensor.detach().contiguous();
  return out;
}

Metadata lora_metadata(const LoraFile& lora, LoraSpelling spelling) {
  // What a spelling says of itself is written anew; the rest (trigger words, training settings) goes along.
  Metadata out = lora.metadata;
  for (const char* key :
       {"format", "lora_adapter_metadata", "ss_network_module", "ss_network_dim", "ss_network_alpha", "modelspec.implementation"})
    out.erase(key);
  if (spelling == LoraSpelling::kohya || spelling == LoraSpelling::kohya_sgm) {
    Metadata own = kohya_metadata(lora);
    own.insert(out.begin(), out.end());  // which keeps ours where both have a key
    if (out.contains("modelspec.title")) own["modelspec.title"] = out["modelspec.title"];
    return own;
  }
  out["format"] = "pt";
  Json config;
  for (const auto& [component, modules] : lora.components) {
    const Json peft = peft_config(lora, modules);
    for (const auto& [key, value] : peft.items()) config[component + "." + key] = value;
  }
  out["lora_adapter_metadata"] = config.dump(2);
  return out;
}

void write_lora(const fs::path& path, const LoraFile& lora, LoraSpelling spelling, const LayerShapes* unet) {
  check(lora.size() > 0, "a LoRA without layers cannot be saved to ", path.string());
  if (spelling == LoraSpelling::peft) return write_peft(path, lora);
  save_safetensors(path, lora_tensors(lora, spelling, unet), lora_metadata(lora, spelling));
}

}  // namespace palate
