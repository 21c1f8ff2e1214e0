#include "palate/train/unet_cost.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace palate {
namespace {

int64_t entry(const Json& config, const char* key, size_t index, int64_t otherwise) {
  if (!config.contains(key) || config[key].is_null()) return otherwise;
  const Json* value = &config[key];
  if (value->is_array()) value = &(*value)[std::min(index, value->size() - 1)];
  return value->is_number() ? value->get<int64_t>() : otherwise;
}

class Walk {
 public:
  Walk(int64_t tokens, int64_t context) : tokens_(tokens), context_(context) {}
  UnetCost cost;

  void conv(int64_t in, int64_t out, int64_t places, int64_t kernel = 9) {
    cost.flops += 2.0 * static_cast<double>(places) * static_cast<double>(kernel * in * out);
  }

  void residual(int64_t in, int64_t out, int64_t places) {
    conv(in, out, places);
    conv(out, out, places);
    if (in != out) conv(in, out, places, 1);
    // Each norm keeps its input; a trained or adapted convolution keeps its own too.
    block(places * (in + out), places * (2 * in + 2 * out), places * in);
    cost.conv_inputs += places * (in + out);
  }

  void transformer(int64_t c, int64_t depth, int64_t places) {
    const auto hw = static_cast<double>(places), width = static_cast<double>(c), text = static_cast<double>(tokens_);
    cost.flops += 4 * hw * width * width;  // in and out projections
    for (int64_t i = 0; i < depth; ++i) {
      cost.flops += 8 * hw * width * width + 4 * hw * hw * width;                                                       // self-attention
      cost.flops += 4 * hw * width * width + 4 * text * static_cast<double>(context_) * width + 4 * hw * text * width;  // cross-attention
      cost.flops += 24 * hw * width * width;  // feed-forward with a gate
    }
    // A block keeps: three norms' inputs, two normed states (the adapters' inputs), q k v and both attention outputs, the
    // second q, hidden and gate of the feed-forward (8); trained weights add the third normed state and the feed-forward's product (4).
    block(places * c * (1 + 19 * depth), places * c * (3 + 24 * depth), places * c);
  }

 private:
  void block(int64_t frozen, int64_t trained, int64_t input) {
    cost.saved_frozen += frozen;
    cost.saved_trained += trained;
    cost.boundaries += input;
    cost.largest_block = std::max(cost.largest_block, trained);
    ++cost.blocks;
  }
  int64_t tokens_, context_;
};

bool attends(const Json& config, const char* key, size_t index, bool otherwise) {
  if (!config.contains(key) || !config[key].is_array() || index >= config[key].size()) return otherwise;
  return config[key][index].get<std::string>().find("CrossAttn") != std::string::npos;
}

}  // namespace

UnetCost unet_cost(const Json& config, int64_t side, int64_t tokens, UnetPart part) {
  std::vector<int64_t> widths = {320, 640, 1280, 1280};
  if (config.contains("block_out_channels")) widths = config["block_out_channels"].get<std::vector<int64_t>>();
  const size_t levels = widths.size();
  Walk walk(tokens, entry(config, "cross_attention_dim", 0, 1280));
  const int64_t channels = entry(config, "in_channels", 0, 4);
  int64_t places = side * side, width = widths[0];
  std::vector<int64_t> skips = {width};
  walk.conv(channels, width, places);
  for (size_t i = 0; i < levels; ++i) {
    const int64_t layers = entry(config, "layers_per_block", i, 2), depth = entry(config, "transformer_layers_per_block", i, 1);
    for (int64_t k = 0; k < layers; ++k) {
      walk.residual(width, widths[i], places);
      width = widths[i];
      if (attends(config, "down_block_types", i, i + 1 < levels)) walk.transformer(width, depth, places);
      skips.push_back(width);
    }
    if (i + 1 == levels) continue;
    places /= 4;
    walk.conv(width, width, places);
    skips.push_back(width);
  }
  if (part == UnetPart::down) return walk.cost;
  walk.residual(width, width, places);
  walk.transformer(width, entry(config, "transformer_layers_per_block", levels - 1, 1), places);
  walk.residual(width, width, places);
  if (part == UnetPart::mid) return walk.cost;
  for (size_t i = 0; i < levels; ++i) {
    const size_t mirror = levels - 1 - i;
    const int64_t layers = entry(config, "layers_per_block", mirror, 2) + 1,
                  depth = entry(config, "transformer_layers_per_block", mirror, 1);
    for (int64_t k = 0; k < layers; ++k) {
      walk.residual(width + skips.back(), widths[mirror], places);
      skips.pop_back();
      width = widths[mirror];
      if (attends(config, "up_block_types", i, i > 0)) walk.transformer(width, depth, places);
    }
    if (i + 1 == levels) continue;
    places *= 4;
    walk.conv(width, width, places);
  }
  walk.conv(width, entry(config, "out_channels", 0, 4), places);
  return walk.cost;
}

}  // namespace palate
