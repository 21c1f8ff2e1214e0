#include "palate/models/convert/recognise.h"

#include <algorithm>

#include "palate/core/error.h"

namespace palate {
namespace {

bool any(const TensorFile& file, const std::string& prefix) {
  return std::any_of(file.names().begin(), file.names().end(), [&](const auto& name) { return name.starts_with(prefix); });
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// Single files, whole or in part: the text towers say which family.
std::string single_file(const TensorFile& file) {
  const bool unet = any(file, unet_prefix), second = any(file, "conditioner.embedders.1.");
  const char* name = second || any(file, "conditioner.embedders.0.transformer.") ? "Stable Diffusion XL" : "";
  if (!*name && any(file, "conditioner.embedders.0.model.")) name = "Stable Diffusion XL refiner";
  if (any(file, "cond_stage_model.model.")) name = facts(Family::sd2).name;
  if (any(file, "cond_stage_model.transformer.")) name = facts(Family::sd1).name;
  const bool vae = any(file, vae_prefix);
  if (!*name && !unet && !vae) return "";
  std::vector<std::string> parts;
  if (unet) parts.push_back("U-Net");
  if (vae) parts.push_back("autoencoder");
  if (any(file, "cond_stage_model.") || any(file, "conditioner.embedders.0.")) parts.push_back("text encoder");
  if (second) parts.push_back("text encoder 2");
  if (any(file, "model_ema.")) parts.push_back("averaged U-Net (EMA)");
  const bool whole = unet && vae && parts.size() >= 3;
  return std::string(*name ? name : "latent diffusion") + (whole ? ", single file: " : ", part of a single file: ") + joined(parts);
}

std::string component(const TensorFile& file) {
  if (file.contains("conv_in.weight") && any(file, "down_blocks.") && any(file, "time_embedding.")) return "U-Net (diffusers)";
  if (file.contains("input_blocks.0.0.weight")) return "U-Net (LDM)";
  if (any(file, "encoder.down_blocks.") || any(file, "decoder.up_blocks.")) return "autoencoder (diffusers)";
  if (any(file, "encoder.down.") && any(file, "decoder.up.")) return "autoencoder (LDM)";
  if (any(file, "vision_model.") && any(file, "text_model.")) return "CLIP: text and image encoder (transformers)";
  if (any(file, "visual.") && file.contains("logit_scale")) return "CLIP: text and image encoder (OpenCLIP)";
  if (file.contains("text_projection.weight")) return "CLIP text encoder with projection (transformers)";
  if (any(file, "text_model.encoder.layers.") || any(file, "encoder.layers.0.self_attn.")) return "CLIP text encoder (transformers)";
  return "";
}

// The head on CLIP's image embedding that LAION and others score pictures with.
bool is_aesthetic_head(const TensorFile& file) {
  if (file.names().size() != 10 || !file.contains("layers.0.weight") || !file.contains("layers.7.weight")) return false;
  const auto last = file.shape("layers.7.weight");
  return file.shape("layers.0.weight").size() == 2 && last.size() == 2 && last[0] == 1;
}

}  // namespace

const FamilyFacts& facts(Family family) {
  static const FamilyFacts table[] = {
      {Family::sd1, "Stable Diffusion 1", "stable-diffusion-v1", "cond_stage_model.transformer.", ""},
      {Family::sd2, "Stable Diffusion 2", "stable-diffusion-v2", "cond_stage_model.model.", ""},
      {Family::sdxl, "Stable Diffusion XL", "stable-diffusion-xl-v1-base", "conditioner.embedders.0.transformer.",
       "conditioner.embedders.1.model."},
  };
  return table[static_cast<size_t>(family)];
}

std::optional<Family> family_of(const TensorFile& file) {
  if (!any(file, unet_prefix)) return {};
  if (any(file, facts(Family::sdxl).text_2)) return Family::sdxl;
  check<UsageError>(!any(file, "conditioner."), file.path().string(),
                    ": is a Stable Diffusion XL with one text tower (a refiner), which is not converted");
  if (any(file, facts(Family::sd2).text)) return Family::sd2;
  if (any(file, facts(Family::sd1).text)) return Family::sd1;
  return {};
}

std::string architecture_of(const TensorFile& file) {
  std::string name = single_file(file);
  if (name.empty()) name = component(file);
  if (name.empty() && is_aesthetic_head(file))
    name = "aesthetic head: five linear layers on a CLIP image embedding of " + std::to_string(file.shape("layers.0.weight")[1]);
  return name;
}

std::vector<int64_t> listed_lora_ranks(const TensorFile& file) {
  std::vector<int64_t> ranks;
  const size_t count = file.names().size();
  if (!file.pickled() || count == 0 || count % 2 != 0) return {};
  for (size_t i = 0; i < count; i += 2) {
    const std::string up = std::to_string(i), down = std::to_string(i + 1);
    if (!file.contains(up) || !file.contains(down) || file.shape(up).size() < 2 || file.shape(down).size() < 2) return {};
    const int64_t rank = file.shape(down)[0];
    if (file.shape(up)[1] != rank || rank > file.shape(up)[0]) return {};
    ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace palate
