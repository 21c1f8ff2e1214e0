// What a UNet2DConditionModel's config.json says, with diffusers' class defaults.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "palate/io/json.h"
#include "palate/nn/resnet.h"

namespace palate {

// One resolution: a down block, and the up block of the same width.
struct UnetLevel {
  bool down_attention = false, up_attention = false;
  int64_t width = 0, layers = 0, heads = 0, context = 0;
  std::vector<int64_t> down_transformers, up_transformers;  // blocks in the transformer of each layer; up has one layer more
  bool only_cross_attention = false;
};

enum class ClassEmbedding : uint8_t { none, table, timestep, identity, projection, simple_projection };

struct UnetOptions {
  UnetOptions(const Json& config, const std::string& origin);

  int64_t in_channels, out_channels, sample_size, conv_in_kernel, conv_out_kernel;
  bool center_input_sample;
  std::vector<UnetLevel> levels;  // from the finest
  bool mid, mid_attention;
  int64_t mid_transformers = 0;
  double mid_scale;
  int64_t groups, downsample_padding;
  double eps;
  bool linear_projection;
  Activation activation;
  TimeShift time_shift;

  bool uses_text;
  int64_t text_width, context;  // of the given text states; of what the attentions see
  bool text_projection;         // from one to the other

  bool fourier;
  SinusoidOptions sinusoids;
  TimestepEmbeddingOptions time;
  std::optional<Activation> time_activation;
  ClassEmbedding classes;
  int64_t class_count, projection_input;
  bool concatenate_classes;
  bool text_time, text_addition;  // SDXL's sizes and pooled text; pooled by attention
  int64_t addition_time_size, addition_heads;
  int64_t time_width() const { return concatenate_classes ? 2 * time.width : time.width; }  // what the blocks are given
};

}  // namespace palate
