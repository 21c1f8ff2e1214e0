// The autoencoder: LDM counts the decoder's levels from the finest, diffusers from the coarsest.
#include <algorithm>

#include "palate/models/convert/key_map.h"

namespace palate {
namespace {

void add_vae_resnet(KeyMap& map, const std::string& ldm, const std::string& diffusers) {
  map.add(ldm, diffusers);
  map.add(ldm + ".nin_shortcut", diffusers + ".conv_shortcut");
}

void add_middle(KeyMap& map, const std::string& half) {
  const std::string ldm = half + ".mid", diffusers = half + ".mid_block";
  add_vae_resnet(map, ldm + ".block_1", diffusers + ".resnets.0");
  add_vae_resnet(map, ldm + ".block_2", diffusers + ".resnets.1");
  const std::string from = ldm + ".attn_1.", to = diffusers + ".attentions.0.";
  map.add(from + "norm", to + "group_norm");
  for (const char* part : {"q", "k", "v"}) map.add(from + part, to + "to_" + part);
  map.add(from + "proj_out", to + "to_out.0");
}

}  // namespace

KeyMap vae_keys(const ModuleSet& modules, Layout layout) {
  KeyMap map;
  const bool ldm = layout == Layout::ldm;
  for (const char* same : {"quant_conv", "post_quant_conv", "encoder.conv_in", "encoder.conv_out", "decoder.conv_in", "decoder.conv_out"})
    map.add(same, same);
  for (const std::string half : {"encoder", "decoder"}) {
    const bool down = half == "encoder";
    map.add(half + ".norm_out", half + ".conv_norm_out");
    add_middle(map, half);
    const std::string from = half + (down ? ".down." : ".up."), to = half + (down ? ".down_blocks." : ".up_blocks.");
    const int64_t levels = modules.count(ldm ? from : to);
    for (int64_t i = 0; i < levels; ++i) {
      const std::string left = from + std::to_string(i), right = to + std::to_string(down ? i : levels - 1 - i);
      const int64_t layers = modules.count(ldm ? left + ".block." : right + ".resnets.");
      for (int64_t j = 0; j < layers; ++j)
        add_vae_resnet(map, left + ".block." + std::to_string(j), right + ".resnets." + std::to_string(j));
      map.add(left + (down ? ".downsample.conv" : ".upsample.conv"), right + (down ? ".downsamplers.0.conv" : ".upsamplers.0.conv"));
    }
  }
  return map;
}

}  // namespace palate
