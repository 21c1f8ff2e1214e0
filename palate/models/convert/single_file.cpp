#include "palate/models/convert/single_file.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/models/convert/key_map.h"

namespace palate {
namespace {

std::vector<std::string> names_of(const TensorMap& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

// Collects what has no place, so that one error names it.
class Surplus {
 public:
  void add(const std::string& name) { names_.push_back(name); }
  void refuse(const std::string& origin, const char* part) const {
    if (names_.empty()) return;
    std::string text;
    for (size_t i = 0; i < names_.size() && i < 5; ++i) text += (i ? ", " : "") + names_[i];
    fail<FormatError>(origin, ": ", names_.size(), " tensors have no place in the ", part, ": ", text, names_.size() > 5 ? ", ..." : "");
  }

 private:
  std::vector<std::string> names_;
};

TensorMap renamed(const TensorMap& tensors, const KeyMap& map, Layout from, const std::string& origin, const char* part) {
  TensorMap out;
  Surplus surplus;
  for (const auto& [name, tensor] : tensors) {
    const auto other = map.translate(name, from);
    if (other) {
      out[*other] = tensor;
    } else {
      surplus.add(name);
    }
  }
  surplus.refuse(origin, part);
  return out;
}

// The autoencoder's attention is made of 1x1 convolutions in LDM and of linear layers in diffusers.
bool is_vae_attention(const std::string& ldm) {
  return ldm.find(".attn_1.") != std::string::npos && ldm.ends_with(".weight") && !ldm.ends_with("norm.weight");
}

TensorMap vae_to_diffusers(TensorMap tensors, const std::string& origin) {
  const KeyMap map = vae_keys(ModuleSet(names_of(tensors)), Layout::ldm);
  for (auto& [name, tensor] : tensors) {
    if (is_vae_attention(name) && tensor.dim() > 2) tensor = tensor.reshape({tensor.size(0), tensor.size(1)});
  }
  return renamed(tensors, map, Layout::ldm, origin, "autoencoder");
}

TensorMap vae_to_ldm(const TensorMap& tensors, const std::string& origin) {
  TensorMap out = renamed(tensors, vae_keys(ModuleSet(names_of(tensors)), Layout::diffusers), Layout::diffusers, origin, "autoencoder");
  for (auto& [name, tensor] : out) {
    if (is_vae_attention(name) && tensor.dim() == 2) tensor = tensor.reshape({tensor.size(0), tensor.size(1), 1, 1});
  }
  return out;
}

constexpr const char* projections[] = {"q_proj", "k_proj", "v_proj"};

// OpenCLIP holds queries, keys and values in one tensor, and the last projection as [width, out].
TensorMap open_clip_to_diffusers(TensorMap tensors, const std::string& origin) {
  const KeyMap map = open_clip_keys(ModuleSet(names_of(tensors)), Layout::ldm);
  TensorMap cut;
  for (auto item = tensors.begin(); item != tensors.end();) {
    const std::string& name = item->first;
    const size_t at = name.find(".attn.in_proj_");
    if (at == std::string::npos) {
      ++item;
      continue;
    }
    const int64_t width = item->second.dim() > 0 ? item->second.size(0) / 3 : 0;
    check<FormatError>(width > 0 && item->second.size(0) == 3 * width, origin, ": tensor '", name,
                       "': expected queries, keys and values, found ", show_shape(item->second.sizes()));
    const std::string layer = name.substr(std::string("transformer.resblocks.").size(), at - std::string("transformer.resblocks.").size());
    const std::string kind = name.substr(at + std::string(".attn.in_proj_").size());
    for (int64_t i = 0; i < 3; ++i) {
      cut["text_model.encoder.layers." + layer + ".self_attn." + projections[i] + "." + kind] = item->second.narrow(0, i * width, width);
    }
    item = tensors.erase(item);
  }
  TensorMap out = renamed(tensors, map, Layout::ldm, origin, "text encoder");
  out.merge(cut);
  const auto projection = out.find("text_projection.weight");
  if (projection != out.end()) projection->second = projection->second.t().contiguous();
  return out;
}

TensorMap open_clip_to_ldm(TensorMap tensors, const std::string& origin) {
  const KeyMap map = open_clip_keys(ModuleSet(names_of(tensors)), Layout::diffusers);
  TensorMap fused;
  const int64_t layers = ModuleSet(names_of(tensors)).count("text_model.encoder.layers.");
  for (int64_t i = 0; i < layers; ++i) {
    for (const std::string kind : {"weight", "bias"}) {
      std::vector<Tensor> parts;
      for (const char* projection : projections) {
        const std::string name = "text_model.encoder.layers." + std::to_string(i) + ".self_attn." + projection + "." + kind;
        check<FormatError>(tensors.count(name) > 0, origin, ": the text encoder lacks the tensor '", name, "'");
        parts.push_back(tensors[name]);
        tensors.erase(name);
      }
      fused["transformer.resblocks." + std::to_string(i) + ".attn.in_proj_" + kind] = torch::cat(parts);
    }
  }
  TensorMap out = renamed(tensors, map, Layout::diffusers, origin, "text encoder");
  out.merge(fused);
  const auto projection = out.find("text_projection");
  if (projection != out.end()) projection->second = projection->second.t().contiguous();
  return out;
}

// SD2 reads the state before OpenCLIP's last layer: a tower that is there whole (logit_scale or text_projection say so) has one too many.
void drop_unused_layer(TensorMap& text, std::vector<std::string>& left_out) {
  const bool whole = text.count("logit_scale") || text.count("text_projection");
  const int64_t layers = ModuleSet(names_of(text)).count("transformer.resblocks.");
  const std::string last = "transformer.resblocks." + std::to_string(layers - 1) + ".";
  for (auto item = text.begin(); item != text.end();) {
    const bool unused = item->first == "text_projection" || (whole && layers > 1 && item->first.starts_with(last));
    if (unused) left_out.push_back(item->first);
    item = unused ? text.erase(item) : std::next(item);
  }
}

void drop(TensorMap& tensors, std::initializer_list<const char*> endings, std::vector<std::string>& left_out) {
  for (const char* ending : endings) {
    for (auto item = tensors.begin(); item != tensors.end();) {
      const bool found = item->first.ends_with(ending);
      if (found) left_out.push_back(item->first);
      item = found ? tensors.erase(item) : std::next(item);
    }
  }
}

void add_prefixed(TensorMap& out, const std::string& prefix, const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) out[prefix + name] = tensor;
}

TensorMap named_by_transformers(const TensorMap& tensors) {
  TensorMap out;
  for (const auto& [name, tensor] : tensors) out[with_text_model(name)] = tensor;
  return out;
}

}  // namespace

Components split_single(const TensorFile& file, Family family, std::vector<std::string>& left_out) {
  const FamilyFacts& known = facts(family);
  TensorMap unet, vae, text, text_2;
  const std::pair<std::string, TensorMap*> parts[] = {
      {unet_prefix, &unet}, {vae_prefix, &vae}, {known.text, &text}, {known.text_2, &text_2}};
  for (const auto& name : file.names()) {
    bool placed = false;
    for (const auto& [prefix, part] : parts) {
      if (prefix.empty() || !name.starts_with(prefix)) continue;
      (*part)[name.substr(prefix.size())] = file.tensor(name);
      placed = true;
    }
    if (!placed) left_out.push_back(name);
  }
  const std::string origin = file.path().string();
  const std::pair<const char*, bool> wanted[] = {{"U-Net", !unet.empty()}, {"autoencoder", !vae.empty()}, {"text encoder", !text.empty()}};
  for (const auto& [name, there] : wanted)
    check<FormatError>(there, origin, ": a whole ", known.name, " is needed, but there is no ", name);
  if (family == Family::sd2) drop_unused_layer(text, left_out);
  drop(text, {"position_ids", "logit_scale", "attn_mask"}, left_out);
  drop(text_2, {"position_ids", "logit_scale", "attn_mask"}, left_out);
  Components out;
  out.unet = renamed(unet, unet_keys(ModuleSet(names_of(unet)), Layout::ldm), Layout::ldm, origin, "U-Net");
  out.vae = vae_to_diffusers(vae, origin);
  out.text = family == Family::sd2 ? open_clip_to_diffusers(text, origin) : named_by_transformers(text);
  if (family == Family::sdxl) out.text_2 = open_clip_to_diffusers(text_2, origin);
  return out;
}

TensorMap join_single(const Components& components, Family family, const std::string& origin) {
  const FamilyFacts& known = facts(family);
  TensorMap out;
  const KeyMap map = unet_keys(ModuleSet(names_of(components.unet)), Layout::diffusers);
  add_prefixed(out, unet_prefix, renamed(components.unet, map, Layout::diffusers, origin, "U-Net"));
  add_prefixed(out, vae_prefix, vae_to_ldm(components.vae, origin));
  add_prefixed(out, known.text, family == Family::sd2 ? open_clip_to_ldm(components.text, origin) : components.text);
  if (family == Family::sdxl) add_prefixed(out, known.text_2, open_clip_to_ldm(components.text_2, origin));
  return out;
}

}  // namespace palate
