// diffusers' names of U-Net layers as Stability's own code ("sgm", and CompVis' before it) counts them.
#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"

namespace palate {
namespace {

// "resnets.1.conv1" -> 1, leaving "conv1"; nothing when it does not start so.
std::optional<int64_t> take_index(std::string_view& rest, std::string_view list) {
  if (!rest.starts_with(list)) return std::nullopt;
  int64_t index = 0;
  const char* end = rest.data() + rest.size();
  const auto [last, error] = std::from_chars(rest.data() + list.size(), end, index);
  if (error != std::errc() || last == end || *last != '.' || index < 0 || index > 1000) return std::nullopt;
  rest.remove_prefix(static_cast<size_t>(last + 1 - rest.data()));
  return index;
}

std::string resnet_part(std::string_view part) {
  if (part == "conv1") return "in_layers.2";
  if (part == "time_emb_proj") return "emb_layers.1";
  if (part == "conv2") return "out_layers.3";
  if (part == "conv_shortcut") return "skip_connection";
  return "";
}

constexpr std::pair<std::string_view, std::string_view> alone[] = {
    {"conv_in", "input_blocks.0.0"},
    {"conv_out", "out.2"},
    {"time_embedding.linear_1", "time_embed.0"},
    {"time_embedding.linear_2", "time_embed.2"},
    {"add_embedding.linear_1", "label_emb.0.0"},
    {"add_embedding.linear_2", "label_emb.0.2"},
};

std::string mid_name(std::string_view rest) {
  if (const auto resnet = take_index(rest, "resnets.")) return concat("middle_block.", *resnet == 0 ? 0 : 2, ".", resnet_part(rest));
  if (take_index(rest, "attentions.")) return concat("middle_block.1.", rest);
  return "";
}

}  // namespace

std::string sgm_name(const std::string& module, int64_t layers_per_block, bool attention_in_block) {
  for (const auto& [ours, theirs] : alone) {
    if (module == ours) return std::string(theirs);
  }
  std::string_view rest = module;
  std::string name;
  if (rest.starts_with("mid_block.")) {
    name = mid_name(rest.substr(std::string_view("mid_block.").size()));
  } else if (const auto block = take_index(rest, "down_blocks.")) {
    const int64_t first = 1 + *block * (layers_per_block + 1);
    if (const auto resnet = take_index(rest, "resnets."))
      name = concat("input_blocks.", first + *resnet, ".0.", resnet_part(rest));
    else if (const auto attention = take_index(rest, "attentions."))
      name = concat("input_blocks.", first + *attention, ".1.", rest);
    else if (rest == "downsamplers.0.conv")
      name = concat("input_blocks.", first + layers_per_block, ".0.op");
  } else if (const auto up = take_index(rest, "up_blocks.")) {
    const int64_t first = *up * (layers_per_block + 1);
    if (const auto resnet = take_index(rest, "resnets."))
      name = concat("output_blocks.", first + *resnet, ".0.", resnet_part(rest));
    else if (const auto attention = take_index(rest, "attentions."))
      name = concat("output_blocks.", first + *attention, ".1.", rest);
    else if (rest == "upsamplers.0.conv")
      name = concat("output_blocks.", first + layers_per_block, attention_in_block ? ".2.conv" : ".1.conv");
  }
  return name.empty() || name.ends_with('.') ? module : name;
}

std::map<std::string, std::string> sgm_names(const LayerShapes& unet) {
  int64_t layers = 1;
  for (const auto& [module, shape] : unet) {
    std::string_view rest = module;
    if (!take_index(rest, "down_blocks.")) continue;
    if (const auto resnet = take_index(rest, "resnets.")) layers = std::max(layers, *resnet + 1);
  }
  std::map<std::string, std::string> names;
  for (const auto& [module, shape] : unet) {
    const std::string block = module.substr(0, module.find('.', module.find('.') + 1));  // "up_blocks.1"
    const auto attention = unet.lower_bound(block + ".attentions.");
    const std::string name = sgm_name(module, layers, attention != unet.end() && attention->first.starts_with(block + ".attentions."));
    if (name != module) names[module] = name;
  }
  return names;
}

}  // namespace palate
