// OpenCLIP's text tower against transformers' CLIPTextModel.
#include "palate/models/convert/key_map.h"

namespace palate {

std::string with_text_model(const std::string& name) {
  return name.starts_with("text_model.") || name.starts_with("text_projection.") ? name : "text_model." + name;
}

KeyMap open_clip_keys(const ModuleSet& modules, Layout layout) {
  KeyMap map;
  map.add("positional_embedding", "text_model.embeddings.position_embedding.weight");
  map.add("token_embedding", "text_model.embeddings.token_embedding");
  map.add("ln_final", "text_model.final_layer_norm");
  map.add("text_projection", "text_projection.weight");
  const int64_t layers = modules.count(layout == Layout::ldm ? "transformer.resblocks." : "text_model.encoder.layers.");
  for (int64_t i = 0; i < layers; ++i) {
    const std::string ldm = "transformer.resblocks." + std::to_string(i), diffusers = "text_model.encoder.layers." + std::to_string(i);
    map.add(ldm + ".ln_1", diffusers + ".layer_norm1");
    map.add(ldm + ".ln_2", diffusers + ".layer_norm2");
    map.add(ldm + ".attn.out_proj", diffusers + ".self_attn.out_proj");
    map.add(ldm + ".mlp.c_fc", diffusers + ".mlp.fc1");
    map.add(ldm + ".mlp.c_proj", diffusers + ".mlp.fc2");
  }
  return map;
}

}  // namespace palate
