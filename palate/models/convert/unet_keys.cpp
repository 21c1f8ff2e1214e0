// The U-Net: LDM numbers its blocks in a row (input_blocks.0, .1, ...), diffusers by level and layer.
#include "palate/models/convert/key_map.h"

namespace palate {
namespace {

using Names = std::string;

void add_resnet(KeyMap& map, const Names& ldm, const Names& diffusers) {
  map.add(ldm + ".in_layers.0", diffusers + ".norm1");
  map.add(ldm + ".in_layers.2", diffusers + ".conv1");
  map.add(ldm + ".emb_layers.1", diffusers + ".time_emb_proj");
  map.add(ldm + ".out_layers.0", diffusers + ".norm2");
  map.add(ldm + ".out_layers.3", diffusers + ".conv2");
  map.add(ldm + ".skip_connection", diffusers + ".conv_shortcut");
}

// A row of LDM's blocks against a list of diffusers' levels: after a level's layers its change of size, in a block of its own on the way
// down, at the end of the last layer's block on the way up.
struct Level {
  int64_t layers = 0;
  bool sampler = false;
};

std::vector<Level> levels_of_diffusers(const ModuleSet& modules, const Names& side, const Names& sampler) {
  std::vector<Level> levels;
  for (int64_t i = 0; i < modules.count(side); ++i) {
    const Names level = side + std::to_string(i);
    levels.push_back({modules.count(level + ".resnets."), modules.has(level + "." + sampler)});
  }
  return levels;
}

std::vector<Level> down_levels_of_ldm(const ModuleSet& modules) {
  std::vector<Level> levels(1);
  for (int64_t block = 1; block < modules.count("input_blocks."); ++block) {
    if (modules.has("input_blocks." + std::to_string(block) + ".0.op")) {
      levels.back().sampler = true;
      levels.emplace_back();
    } else {
      ++levels.back().layers;
    }
  }
  return levels;
}

std::vector<Level> up_levels_of_ldm(const ModuleSet& modules) {
  std::vector<Level> levels(1);
  const int64_t count = modules.count("output_blocks.");
  for (int64_t i = 0; i < count; ++i) {
    const Names block = "output_blocks." + std::to_string(i);
    ++levels.back().layers;
    if (!modules.has(block + ".1.conv") && !modules.has(block + ".2.conv")) continue;
    levels.back().sampler = true;
    if (i + 1 < count) levels.emplace_back();
  }
  return levels;
}

void add_down(KeyMap& map, const std::vector<Level>& levels) {
  int64_t block = 1;
  for (size_t i = 0; i < levels.size(); ++i) {
    const Names level = "down_blocks." + std::to_string(i);
    for (int64_t j = 0; j < levels[i].layers; ++j, ++block) {
      const Names ldm = "input_blocks." + std::to_string(block), layer = std::to_string(j);
      add_resnet(map, ldm + ".0", level + ".resnets." + layer);
      map.add(ldm + ".1", level + ".attentions." + layer);
    }
    if (levels[i].sampler) map.add("input_blocks." + std::to_string(block++) + ".0.op", level + ".downsamplers.0.conv");
  }
}

void add_up(KeyMap& map, const std::vector<Level>& levels, const ModuleSet& modules, Layout layout) {
  int64_t block = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    const Names level = "up_blocks." + std::to_string(i);
    for (int64_t j = 0; j < levels[i].layers; ++j, ++block) {
      const Names ldm = "output_blocks." + std::to_string(block), layer = std::to_string(j);
      add_resnet(map, ldm + ".0", level + ".resnets." + layer);
      const Names attention = level + ".attentions." + layer;
      const bool attends = layout == Layout::ldm ? modules.has(ldm + ".1.norm") : modules.has(attention);
      if (attends) map.add(ldm + ".1", attention);
      if (levels[i].sampler && j + 1 == levels[i].layers) map.add(ldm + (attends ? ".2.conv" : ".1.conv"), level + ".upsamplers.0.conv");
    }
  }
}

}  // namespace

KeyMap unet_keys(const ModuleSet& modules, Layout layout) {
  KeyMap map;
  map.add("time_embed.0", "time_embedding.linear_1");
  map.add("time_embed.2", "time_embedding.linear_2");
  map.add("label_emb.0.0", "add_embedding.linear_1");
  map.add("label_emb.0.2", "add_embedding.linear_2");
  map.add("input_blocks.0.0", "conv_in");
  map.add("out.0", "conv_norm_out");
  map.add("out.2", "conv_out");
  const bool ldm = layout == Layout::ldm;
  add_down(map, ldm ? down_levels_of_ldm(modules) : levels_of_diffusers(modules, "down_blocks.", "downsamplers"));
  add_resnet(map, "middle_block.0", "mid_block.resnets.0");
  map.add("middle_block.1", "mid_block.attentions.0");
  add_resnet(map, "middle_block.2", "mid_block.resnets.1");
  add_up(map, ldm ? up_levels_of_ldm(modules) : levels_of_diffusers(modules, "up_blocks.", "upsamplers"), modules, layout);
  return map;
}

}  // namespace palate
