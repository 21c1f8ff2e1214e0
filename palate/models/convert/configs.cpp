#include "palate/models/convert/configs.h"

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/convert/key_map.h"

namespace palate {
namespace {

constexpr const char* version = "0.30.0";

const Tensor& need(const TensorMap& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  check<FormatError>(found != tensors.end() && found->second.dim() > 0, "the model lacks the tensor '", name, "'");
  return found->second;
}
int64_t side(const TensorMap& tensors, const std::string& name, int64_t dimension) {
  const Tensor& tensor = need(tensors, name);
  check<FormatError>(dimension < tensor.dim(), "tensor '", name, "' has only ", tensor.dim(), " dimensions");
  return tensor.size(dimension);
}

ModuleSet modules_of(const TensorMap& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return ModuleSet(names);
}

// [2, 2, 2] -> 2; what differs stays a list.
Json short_list(const std::vector<int64_t>& values) {
  for (const int64_t value : values) {
    if (value != values[0]) return values;
  }
  return values.empty() ? Json(1) : Json(values[0]);
}

int64_t heads_of(int64_t width, Family family) {
  const int64_t heads = family == Family::sd1 ? 8 : width / 64;
  check<UsageError>(heads > 0 && width % heads == 0, "the weights do not say how many heads attention of width ", width,
                    " has: name a folder with the model's configs (--config)");
  return heads;
}

struct UnetShape {
  std::vector<int64_t> widths, layers, transformers, heads;
  std::vector<std::string> down, up;
  int64_t context = 0;
  bool linear = false;
};

UnetShape unet_shape(const TensorMap& tensors, Family family) {
  const ModuleSet modules = modules_of(tensors);
  UnetShape shape;
  const int64_t levels = modules.count("down_blocks.");
  for (int64_t i = 0; i < levels; ++i) {
    const std::string down = "down_blocks." + std::to_string(i), up = "up_blocks." + std::to_string(levels - 1 - i);
    shape.widths.push_back(side(tensors, down + ".resnets.0.conv1.weight", 0));
    shape.layers.push_back(modules.count(down + ".resnets."));
    const bool attends = modules.has(down + ".attentions.0");
    shape.down.emplace_back(attends ? "CrossAttnDownBlock2D" : "DownBlock2D");
    shape.up.emplace(shape.up.begin(), modules.has(up + ".attentions.0") ? "CrossAttnUpBlock2D" : "UpBlock2D");
    const std::string attention = attends ? down + ".attentions.0" : up + ".attentions.0";
    shape.transformers.push_back(std::max<int64_t>(1, modules.count(attention + ".transformer_blocks.")));
    shape.heads.push_back(heads_of(shape.widths.back(), family));
    if (!modules.has(attention)) continue;
    shape.context = side(tensors, attention + ".transformer_blocks.0.attn2.to_k.weight", 1);
    shape.linear = need(tensors, attention + ".proj_in.weight").dim() == 2;
  }
  return shape;
}

}  // namespace

Json unet_config(const TensorMap& tensors, Family family, const Prediction& prediction) {
  const UnetShape shape = unet_shape(tensors, family);
  Json config = {{"_class_name", "UNet2DConditionModel"},
                 {"_diffusers_version", version},
                 {"act_fn", "silu"},
                 {"attention_head_dim", family == Family::sd1 ? Json(8) : Json(shape.heads)},
                 {"block_out_channels", shape.widths},
                 {"center_input_sample", false},
                 {"cross_attention_dim", shape.context},
                 {"down_block_types", shape.down},
                 {"downsample_padding", 1},
                 {"flip_sin_to_cos", true},
                 {"freq_shift", 0},
                 {"in_channels", side(tensors, "conv_in.weight", 1)},
                 {"layers_per_block", short_list(shape.layers)},
                 {"mid_block_scale_factor", 1},
                 {"norm_eps", 1e-5},
                 {"norm_num_groups", 32},
                 {"out_channels", side(tensors, "conv_out.weight", 0)},
                 {"sample_size", family == Family::sdxl              ? 128
                                 : prediction.type == "v_prediction" ? 96
                                                                     : 64},
                 {"transformer_layers_per_block", short_list(shape.transformers)},
                 {"up_block_types", shape.up},
                 {"use_linear_projection", shape.linear}};
  if (family == Family::sd2 && prediction.type == "v_prediction") config["upcast_attention"] = true;
  if (tensors.count("add_embedding.linear_1.weight")) {
    config["addition_embed_type"] = "text_time";
    config["addition_time_embed_dim"] = 256;
    config["projection_class_embeddings_input_dim"] = side(tensors, "add_embedding.linear_1.weight", 1);
  }
  return config;
}

Json vae_config(const TensorMap& tensors, Family family) {
  const ModuleSet modules = modules_of(tensors);
  std::vector<int64_t> widths;
  const int64_t levels = modules.count("encoder.down_blocks.");
  for (int64_t i = 0; i < levels; ++i)
    widths.push_back(side(tensors, "encoder.down_blocks." + std::to_string(i) + ".resnets.0.conv1.weight", 0));
  Json config = {{"_class_name", "AutoencoderKL"},
                 {"_diffusers_version", version},
                 {"act_fn", "silu"},
                 {"block_out_channels", widths},
                 {"down_block_types", std::vector<std::string>(widths.size(), "DownEncoderBlock2D")},
                 {"in_channels", side(tensors, "encoder.conv_in.weight", 1)},
                 {"latent_channels", side(tensors, "decoder.conv_in.weight", 1)},
                 {"layers_per_block", modules.count("encoder.down_blocks.0.resnets.")},
                 {"norm_num_groups", 32},
                 {"out_channels", side(tensors, "decoder.conv_out.weight", 0)},
                 {"sample_size", family == Family::sdxl  ? 1024
                                 : family == Family::sd2 ? 768
                                                         : 512},
                 {"scaling_factor", family == Family::sdxl ? 0.13025 : 0.18215},
                 {"up_block_types", std::vector<std::string>(widths.size(), "UpDecoderBlock2D")}};
  if (family == Family::sdxl) config["force_upcast"] = true;
  return config;
}

Json text_config(const TensorMap& tensors, TextTower tower) {
  const std::string embeddings = "text_model.embeddings.";
  const int64_t width = side(tensors, embeddings + "token_embedding.weight", 1);
  const bool projects = tensors.count("text_projection.weight") > 0;
  return {{"architectures", {projects ? "CLIPTextModelWithProjection" : "CLIPTextModel"}},
          {"attention_dropout", 0.0},
          {"bos_token_id", 0},
          {"dropout", 0.0},
          {"eos_token_id", 2},  // historic: the end of text is then the largest id
          {"hidden_act", tower == TextTower::clip ? "quick_gelu" : "gelu"},
          {"hidden_size", width},
          {"initializer_factor", 1.0},
          {"initializer_range", 0.02},
          {"intermediate_size", side(tensors, "text_model.encoder.layers.0.mlp.fc1.weight", 0)},
          {"layer_norm_eps", 1e-5},
          {"max_position_embeddings", side(tensors, embeddings + "position_embedding.weight", 0)},
          {"model_type", "clip_text_model"},
          {"num_attention_heads", heads_of(width, Family::sd2)},
          {"num_hidden_layers", modules_of(tensors).count("text_model.encoder.layers.")},
          {"pad_token_id", 1},
          {"projection_dim", projects ? side(tensors, "text_projection.weight", 0) : width},
          {"vocab_size", side(tensors, embeddings + "token_embedding.weight", 0)}};
}

Json scheduler_config(Family family, const Prediction& prediction) {
  const bool euler = family == Family::sdxl, ddim = family == Family::sd2 && prediction.type == "v_prediction";
  Json config = {{"_class_name", euler  ? "EulerDiscreteScheduler"
                                 : ddim ? "DDIMScheduler"
                                        : "PNDMScheduler"},
                 {"_diffusers_version", version},
                 {"beta_end", 0.012},
                 {"beta_schedule", "scaled_linear"},
                 {"beta_start", 0.00085},
                 {"num_train_timesteps", 1000},
                 {"prediction_type", prediction.type},
                 {"steps_offset", 1},
                 {"trained_betas", nullptr}};
  if (!euler) config.update(Json{{"clip_sample", false}, {"set_alpha_to_one", false}});
  if (!euler && !ddim) config["skip_prk_steps"] = true;
  if (euler) config.update(Json{{"interpolation_type", "linear"}, {"timestep_spacing", "leading"}, {"use_karras_sigmas", false}});
  if (prediction.zero_snr) config.update(Json{{"rescale_betas_zero_snr", true}, {"timestep_spacing", "trailing"}});
  return config;
}

Json model_index(Family family, const Prediction& prediction) {
  const bool xl = family == Family::sdxl;
  const std::string scheduler = scheduler_config(family, prediction)["_class_name"].get<std::string>();
  const std::string name = concat("StableDiffusion", xl ? "XL" : "", prediction.inpainting ? "Inpaint" : "", "Pipeline");
  Json index = {{"_class_name", name}, {"_diffusers_version", version}};
  const Json none = {nullptr, nullptr};
  if (xl) {
    index["force_zeros_for_empty_prompt"] = true;
  } else {
    index.update(Json{{"feature_extractor", none}, {"requires_safety_checker", false}, {"safety_checker", none}});
  }
  index["scheduler"] = {"diffusers", scheduler};
  index["text_encoder"] = {"transformers", "CLIPTextModel"};
  if (xl) index["text_encoder_2"] = {"transformers", "CLIPTextModelWithProjection"};
  index["tokenizer"] = {"transformers", "CLIPTokenizer"};
  if (xl) index["tokenizer_2"] = {"transformers", "CLIPTokenizer"};
  index["unet"] = {"diffusers", "UNet2DConditionModel"};
  index["vae"] = {"diffusers", "AutoencoderKL"};
  return index;
}

}  // namespace palate
