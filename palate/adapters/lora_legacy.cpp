#include "palate/adapters/lora_legacy.h"

#include "palate/core/error.h"
#include "palate/io/tensor_file.h"

namespace palate {
namespace {

constexpr size_t transformers = 16;

std::vector<std::string> unet_walk(bool middle_last) {
  std::vector<std::string> places;
  for (int block = 0; block < 3; ++block) {
    for (int i = 0; i < 2; ++i) places.push_back(concat("down_blocks.", block, ".attentions.", i));
  }
  if (!middle_last) places.push_back("mid_block.attentions.0");
  for (int block = 1; block < 4; ++block) {
    for (int i = 0; i < 3; ++i) places.push_back(concat("up_blocks.", block, ".attentions.", i));
  }
  if (middle_last) places.push_back("mid_block.attentions.0");
  std::vector<std::string> layers;
  for (const auto& place : places) {
    for (const char* layer :
         {"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"})
      layers.push_back(place + ".transformer_blocks.0." + layer);
  }
  return layers;
}

std::vector<std::string> text_walk(size_t layers) {
  std::vector<std::string> names;
  for (size_t i = 0; i < layers; ++i) {
    for (const char* layer : {"k_proj", "v_proj", "q_proj", "out_proj"})
      names.push_back(concat("text_model.encoder.layers.", i, ".self_attn.", layer));
  }
  return names;
}

std::vector<LoraModule> read_pairs(const TensorFile& file) {
  check<UsageError>(file.names().size() % 2 == 0, file.path().string(), ": a list of ", file.names().size(),
                    " tensors, expected pairs of an up and a down half");
  std::vector<LoraModule> pairs;
  for (size_t i = 0; i < file.names().size(); i += 2) {
    LoraModule module;
    module.up = file.tensor(std::to_string(i));
    module.down = file.tensor(std::to_string(i + 1));
    const bool fits = module.up.dim() == 2 && module.down.dim() == 2 && module.up.size(1) == module.down.size(0) && module.up.numel() > 0 &&
                      module.down.numel() > 0;
    check<UsageError>(fits && module.up.is_floating_point() && module.down.is_floating_point(), file.path().string(), ": tensors ", i,
                      " and ", i + 1, " have shapes ", show_shape(module.up.sizes()), " and ", show_shape(module.down.sizes()),
                      ", expected [out, r] and [r, in]");
    module.alpha = static_cast<float>(module.rank());
    pairs.push_back(module);
  }
  return pairs;
}

}  // namespace

bool is_legacy_list(const std::vector<std::string>& names) {
  if (names.empty()) return false;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] != std::to_string(i)) return false;
  }
  return true;
}

LoraFile read_legacy_list(const std::filesystem::path& path) {
  const TensorFile file(path);
  check<UsageError>(is_legacy_list(file.names()), path.string(),
                    ": expected a LoRA as safetensors, or a list of halves without names, found other tensors");
  const std::vector<LoraModule> pairs = read_pairs(file);
  const auto width = [&](size_t i) { return pairs[i].up.size(0); };
  // A U-Net is widest in its middle; a text encoder is equally wide everywhere.
  const bool unet = pairs.size() == transformers * 8 && width(0) != width(5 * 8);
  check<UsageError>(unet || pairs.size() % 4 == 0, path.string(), ": a list of ", pairs.size(),
                    " LoRAs is neither a U-Net's attention (128) nor a text encoder's (four a layer)");
  const auto names = unet ? unet_walk(width(pairs.size() - 1) != width(0)) : text_walk(pairs.size() / 4);
  LoraFile lora;
  lora.origin = path.string();
  lora.spelling = "legacy list";
  lora.keys = file.names().size();
  for (size_t i = 0; i < pairs.size(); ++i) lora.components[unet ? "unet" : "text_encoder"][names[i]] = pairs[i];
  return lora;
}

}  // namespace palate
