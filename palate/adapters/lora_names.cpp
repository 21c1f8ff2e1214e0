#include "palate/adapters/lora_names.h"

#include <algorithm>

#include "palate/core/error.h"

namespace palate {
namespace {

struct Ending {
  std::string_view text;
  LoraRole role;
};
constexpr Ending endings[] = {
    {".lora_down.weight", LoraRole::down},
    {".lora_up.weight", LoraRole::up},
    {".lora_mid.weight", LoraRole::mid},
    {".dora_scale", LoraRole::magnitude},
    {".lora.down.weight", LoraRole::down},
    {".lora.up.weight", LoraRole::up},
    {".lora_linear_layer.down.weight", LoraRole::down},
    {".lora_linear_layer.up.weight", LoraRole::up},
    {".alpha", LoraRole::alpha},
};
// The processor spelling: "attn1.processor.to_q_lora.down.weight", or without "processor".
constexpr Ending processor_endings[] = {{"_lora.down.weight", LoraRole::down}, {"_lora.up.weight", LoraRole::up}};

bool drop_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.remove_suffix(end.size());
  return true;
}

bool drop_start(std::string_view& text, std::string_view start) {
  if (!text.starts_with(start)) return false;
  text.remove_prefix(start.size());
  return true;
}

// ".lora_A.weight" or, with the adapter's name as peft keeps it in memory, ".lora_A.default.weight".
std::optional<LoraRole> drop_peft_end(std::string_view& key) {
  std::string_view rest = key;
  const bool weight = drop_end(rest, ".weight");
  for (const Ending& half :
       {Ending{".lora_A", LoraRole::down}, Ending{".lora_B", LoraRole::up}, Ending{".lora_magnitude_vector", LoraRole::magnitude}}) {
    if (!weight && half.role != LoraRole::magnitude) continue;  // of which peft's files have both forms
    const size_t at = rest.rfind(half.text);
    if (at == std::string_view::npos) continue;
    const std::string_view adapter = rest.substr(at + half.text.size());
    if (!adapter.empty() && (adapter[0] != '.' || adapter.size() == 1 || adapter.find('.', 1) != std::string_view::npos)) continue;
    key = rest.substr(0, at);
    return half.role;
  }
  return std::nullopt;
}

struct Split {
  std::string module;
  LoraRole role;
};

// "...attn1.processor.to_q" -> "...attn1.to_q", "...self_attn.to_out" -> "...self_attn.out_proj". "" where there is no such layer.
std::string processor_layer(std::string_view path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return "";
  const std::string_view projection = path.substr(dot + 1);
  std::string_view parent = path.substr(0, dot);
  if (projection != "to_q" && projection != "to_k" && projection != "to_v" && projection != "to_out") return "";
  drop_end(parent, ".processor");
  if (parent.ends_with("self_attn")) return concat(parent, ".", projection.substr(3), "_proj");
  return concat(parent, ".", projection, projection == "to_out" ? ".0" : "");
}

std::optional<Split> split(std::string_view key) {
  std::string_view module = key;
  if (const auto role = drop_peft_end(module)) return Split{std::string(module), *role};
  for (const Ending& ending : endings) {
    if (drop_end(module, ending.text)) return Split{std::string(module), ending.role};
  }
  for (const Ending& ending : processor_endings) {
    if (!drop_end(module, ending.text)) continue;
    const std::string layer = processor_layer(module);
    if (layer.empty()) return std::nullopt;
    return Split{layer, ending.role};
  }
  return std::nullopt;
}

std::string underscores(std::string_view dotted) {
  std::string name(dotted);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

bool glob(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

std::string kohya_name(std::string_view component, std::string_view module, bool two_text_encoders) {
  std::string prefix = "lora_unet_";
  if (component == "text_encoder") prefix = two_text_encoders ? "lora_te1_" : "lora_te_";
  if (component == "text_encoder_2") prefix = "lora_te2_";
  return prefix + underscores(module);
}

LoraNames::LoraNames() {
  for (const auto& [component, layers] : stable_diffusion_layers()) add(component, layers);
}

LoraNames::LoraNames(const ModelLayers& model) {
  for (const auto& [component, layers] : stable_diffusion_layers()) {
    if (!model.contains(component)) add(component, layers);
  }
  for (const auto& [component, layers] : model) {
    add(component, layers);
    known_[component] = layers;
  }
}

void LoraNames::add(const std::string& component, const LayerShapes& layers) {
  for (const auto& [layer, shape] : layers) underscored_[component + "_" + underscores(layer)] = {component, layer};
  if (component != "unet") return;
  for (const auto& [layer, name] : sgm_names(layers)) underscored_.try_emplace("unet_" + underscores(name), Home{component, layer});
  // Without a model, a block may or may not have attentions.
  for (const auto& [layer, shape] : layers) {
    if (layer.find("upsamplers") != std::string::npos)
      underscored_.try_emplace("unet_" + underscores(sgm_name(layer, 2, false)), Home{component, layer});
  }
}

std::optional<LoraKey> LoraNames::find(std::string_view key, std::string_view unprefixed) const {
  const auto parts = split(key);
  if (!parts || parts->module.empty()) return std::nullopt;
  std::string_view module = parts->module;
  for (const auto& [kohya, component] : {std::pair{"lora_unet_", "unet_"},
                                         {"lora_te_", "text_encoder_"},
                                         {"lora_te1_", "text_encoder_"},
                                         {"lora_te2_", "text_encoder_2_"}}) {
    if (!module.starts_with(kohya)) continue;
    drop_start(module, kohya);
    const auto home = underscored_.find(concat(component, module));
    if (home == underscored_.end()) return std::nullopt;
    return LoraKey{home->second.component, home->second.module, parts->role};
  }
  drop_start(module, "base_model.model.");
  std::string component;
  for (const auto& name : lora_components()) {
    if (module.starts_with(name + ".")) component = name;
  }
  if (!component.empty())
    module.remove_prefix(component.size() + 1);
  else if (!unprefixed.empty())
    component = unprefixed;
  else
    component = module.starts_with("text_model.") ? "text_encoder" : "unet";
  if (module.empty() || module.front() == '.' || module.back() == '.') return std::nullopt;
  // transformers 5 names the layers of its CLIPTextModel without "text_model".
  const bool bare = component != "unet" && module.starts_with("encoder.layers.");
  const std::string layer = concat(bare ? "text_model." : "", module);
  const auto known = known_.find(component);
  if (known != known_.end() && !known->second.contains(layer)) return std::nullopt;
  return LoraKey{component, layer, parts->role};
}

bool matches_target(std::string_view name, std::string_view target) {
  if (target.find('*') != std::string_view::npos) return glob(name, target);
  if (!name.ends_with(target)) return false;
  return name.size() == target.size() || name[name.size() - target.size() - 1] == '.';
}

}  // namespace palate
