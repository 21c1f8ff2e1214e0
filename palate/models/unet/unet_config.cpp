#include "palate/models/unet/unet_config.h"

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/config_reader.h"
#include "palate/models/unet/sample_size.h"

namespace palate {
namespace {

const Json null_value;

// Options of diffusers' other U-Nets (Kandinsky, DeepFloyd IF, Versatile Diffusion, GLIGEN). What only their block types read
// (resnet_skip_time_act, resnet_out_scale_factor, cross_attention_norm, mid_block_only_cross_attention) may say anything.
void refuse_unsupported(const ConfigReader& r) {
  r.only("mid_block_type", {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D", null_value});
  r.only("encoder_hid_dim_type", {"text_proj", null_value});
  r.only("dual_cross_attention", {false});
  r.only("resnet_time_scale_shift", {"default", "scale_shift"});
  r.only("time_embedding_type", {"positional", "fourier"});
  r.only("class_embed_type", {"timestep", "identity", "projection", "simple_projection", null_value});
  r.only("addition_embed_type", {"text_time", "text", null_value});
  r.only("attention_type", {"default"});
  r.only("num_attention_heads", {null_value});  // diffusers refuses it too: the number of heads is attention_head_dim
  r.only("dropout", {0.0, 0});
}

// diffusers strips the prefix of its first releases.
bool with_attention(std::string type, const std::string& plain, const std::string& cross, const char* key, const std::string& origin) {
  if (type.starts_with("UNetRes")) type = type.substr(7);
  check<UsageError>(type == plain || type == cross, origin, ": '", key, "': block type '", type, "' is not supported, expected ", plain,
                    " or ", cross);
  return type == cross;
}

std::vector<UnetLevel> read_levels(const ConfigReader& r, const std::string& origin) {
  const auto widths = r.wholes("block_out_channels", {320, 640, 1280, 1280});
  const auto down = r.texts("down_block_types", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  const auto up = r.texts("up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  const size_t n = widths.size();
  check<FormatError>(n > 0 && down.size() == n && up.size() == n, origin,
                     ": block_out_channels, down_block_types and up_block_types must have the same length, found ", n, ", ", down.size(),
                     " and ", up.size());
  const auto layers = r.per_block("layers_per_block", 2, n);
  const auto heads = r.per_block("attention_head_dim", 8, n);  // diffusers' historic name: it is the number of heads
  const auto contexts = r.per_block("cross_attention_dim", 1280, n);
  const auto only_cross = r.flags_per_block("only_cross_attention", false, n);
  std::vector<UnetLevel> levels(n);
  for (size_t i = 0; i < n; ++i) {
    UnetLevel& level = levels[i];
    level.down_attention = with_attention(down[i], "DownBlock2D", "CrossAttnDownBlock2D", "down_block_types", origin);
    level.up_attention = with_attention(up[n - 1 - i], "UpBlock2D", "CrossAttnUpBlock2D", "up_block_types", origin);
    level.width = widths[i];
    level.layers = layers[i];
    level.heads = heads[i];
    level.context = contexts[i];
    level.only_cross_attention = only_cross[i];
  }
  return levels;
}

// One entry of transformer_layers_per_block: a number for all layers, or a list with one for each.
std::vector<int64_t> transformer_layers(const Json& entry, int64_t layers, const char* key, const std::string& origin) {
  if (entry.is_number_integer()) return std::vector<int64_t>(static_cast<size_t>(layers), entry.get<int64_t>());
  std::vector<int64_t> list;
  bool fits = entry.is_array() && static_cast<int64_t>(entry.size()) >= layers;
  for (size_t i = 0; fits && i < static_cast<size_t>(layers); ++i) {
    fits = entry[i].is_number_integer();
    if (fits) list.push_back(entry[i].get<int64_t>());
  }
  check<FormatError>(fits, origin, ": '", key, "' must have for each block a whole number or a list with one for each of its ", layers,
                     " layers, found ", entry.dump());
  return list;
}

// transformer_layers_per_block goes with the down blocks, and backwards with the up blocks unless those have their own list.
void read_transformers(UnetOptions& o, const Json& config, const ConfigReader& r, const std::string& origin) {
  const char *key = "transformer_layers_per_block", *up_key = "reverse_transformer_layers_per_block";
  const size_t n = o.levels.size();
  const auto entries = [&](const char* name) {
    const Json value = r.absent(name) ? Json(1) : config[name];
    const Json list = value.is_number_integer() ? Json(std::vector<Json>(n, value)) : value;
    check<FormatError>(list.is_array() && list.size() == n, origin, ": '", name, "' must have one entry for each of ", n, " blocks, found ",
                       value.dump());
    return list;
  };
  const Json down = entries(key), up = r.absent(up_key) ? Json() : entries(up_key);
  for (size_t i = 0; i < n; ++i) {
    UnetLevel& level = o.levels[i];
    if (level.down_attention) level.down_transformers = transformer_layers(down[i], level.layers, key, origin);
    if (!level.up_attention) continue;
    check<FormatError>(!up.is_null() || !down[i].is_array(), origin, ": '", key, "' lists the layers of a block, ", down[i].dump(),
                       ", so '", up_key, "' must be given too");
    level.up_transformers = up.is_null() ? transformer_layers(down[i], level.layers + 1, key, origin)
                                         : transformer_layers(up[n - 1 - i], level.layers + 1, up_key, origin);
  }
  if (o.mid_attention) o.mid_transformers = transformer_layers(down[n - 1], 1, key, origin).front();
}

// The blocks may be made for texts of different widths, but they are all given the same one.
void read_text(UnetOptions& o, const Json& config, const ConfigReader& r, const std::string& origin) {
  std::vector<int64_t> widths;
  for (const auto& level : o.levels) {
    if (level.down_attention || level.up_attention) widths.push_back(level.context);
  }
  if (o.mid_attention) widths.push_back(o.levels.back().context);
  for (const int64_t width : widths) {
    check<UsageError>(width == widths.front(), origin, ": 'cross_attention_dim' = ", config["cross_attention_dim"].dump(),
                      " is not supported, expected one width for all blocks with cross-attention");
  }
  o.context = widths.empty() ? o.levels.front().context : widths.front();
  const int64_t projected_from = r.whole("encoder_hid_dim", 0);
  check<FormatError>(projected_from > 0 || r.absent("encoder_hid_dim_type"), origin,
                     ": 'encoder_hid_dim_type' needs 'encoder_hid_dim', the width of the text states");
  o.text_projection = projected_from > 0;
  o.uses_text = !widths.empty() || o.text_addition || o.text_projection;
  o.text_width = !o.uses_text ? 0 : o.text_projection ? projected_from : o.context;
}

ClassEmbedding class_embedding(const ConfigReader& r) {
  const std::string type = r.text("class_embed_type", "");
  if (type == "timestep") return ClassEmbedding::timestep;
  if (type == "identity") return ClassEmbedding::identity;
  if (type == "projection") return ClassEmbedding::projection;
  if (type == "simple_projection") return ClassEmbedding::simple_projection;
  return r.absent("num_class_embeds") ? ClassEmbedding::none : ClassEmbedding::table;
}

void read_time(UnetOptions& o, const ConfigReader& r, const std::string& origin) {
  const int64_t first = o.levels.front().width;
  o.fourier = r.text("time_embedding_type", "positional") == "fourier";
  o.sinusoids = {first, r.flag("flip_sin_to_cos", true), r.number("freq_shift", 0)};
  o.time.width = r.whole("time_embedding_dim", 0);
  if (o.time.width == 0) o.time.width = o.fourier ? 2 * first : 4 * first;
  check<FormatError>(!o.fourier || o.time.width % 2 == 0, origin,
                     ": 'time_embedding_dim' must be even with fourier time embeddings, found ", o.time.width);
  o.time.in = o.fourier ? o.time.width : first;
  o.time.condition = r.whole("time_cond_proj_dim", 0);
  o.time.activation = o.activation;
  if (!r.absent("timestep_post_act")) o.time.last = r.activation("timestep_post_act", "", diffusers_activations());
  if (!r.absent("time_embedding_act_fn")) o.time_activation = r.activation("time_embedding_act_fn", "", diffusers_activations());
  o.classes = class_embedding(r);
  o.class_count = r.whole("num_class_embeds", 0);
  o.projection_input = r.whole("projection_class_embeddings_input_dim", 0);
  check<FormatError>(o.projection_input > 0 || (o.classes != ClassEmbedding::projection && o.classes != ClassEmbedding::simple_projection),
                     origin, ": class_embed_type ", r.text("class_embed_type", ""), " needs projection_class_embeddings_input_dim");
  o.concatenate_classes = r.flag("class_embeddings_concat", false);
  check<FormatError>(!o.concatenate_classes || o.classes != ClassEmbedding::none, origin,
                     ": 'class_embeddings_concat' needs a class_embed_type or num_class_embeds");
  const std::string addition = r.text("addition_embed_type", "");
  o.text_time = addition == "text_time";
  o.text_addition = addition == "text";
  check<FormatError>(addition.empty() || !o.concatenate_classes, origin, ": 'class_embeddings_concat' and addition_embed_type ", addition,
                     " exclude each other");
  o.addition_heads = r.whole("addition_embed_type_num_heads", 64);
  o.addition_time_size = r.whole("addition_time_embed_dim", 0);
  check<FormatError>(!o.text_time || (o.addition_time_size > 0 && o.projection_input > 0), origin,
                     ": addition_embed_type text_time needs addition_time_embed_dim and projection_class_embeddings_input_dim");
}

}  // namespace

int64_t unet_sample_size(const Json& config, const std::string& origin) {
  const ConfigReader r(config, origin);
  const auto size = config.find("sample_size");
  if (size == config.end() || !size->is_array()) return r.whole("sample_size", 64);
  check<FormatError>(!size->empty() && size->at(0).is_number_integer(), origin,
                     ": sample_size should be a whole number or a list of two, found ", size->dump());
  return size->at(0).get<int64_t>();
}

UnetOptions::UnetOptions(const Json& config, const std::string& origin) {
  const ConfigReader r(config, origin);
  refuse_unsupported(r);
  in_channels = r.whole("in_channels", 4);
  out_channels = r.whole("out_channels", 4);
  sample_size = unet_sample_size(config, origin);
  center_input_sample = r.flag("center_input_sample", false);
  conv_in_kernel = r.whole("conv_in_kernel", 3);
  conv_out_kernel = r.whole("conv_out_kernel", 3);
  levels = read_levels(r, origin);
  mid = !config.contains("mid_block_type") || !config["mid_block_type"].is_null();
  mid_attention = mid && r.text("mid_block_type", "UNetMidBlock2DCrossAttn") == "UNetMidBlock2DCrossAttn";
  mid_scale = r.number("mid_block_scale_factor", 1);
  groups = r.whole("norm_num_groups", 32);
  eps = r.number("norm_eps", 1e-5);
  downsample_padding = r.whole("downsample_padding", 1);
  linear_projection = r.flag("use_linear_projection", false);
  activation = r.activation("act_fn", "silu", diffusers_activations());
  time_shift = r.text("resnet_time_scale_shift", "default") == "default" ? TimeShift::add : TimeShift::scale_shift;
  read_time(*this, r, origin);
  read_transformers(*this, config, r, origin);
  read_text(*this, config, r, origin);
}

}  // namespace palate
