#include "palate/models/unet/unet_2d_condition.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/config_reader.h"
#include "palate/models/unet/unet_blocks.h"
#include "palate/nn/text_time_embedding.h"

namespace palate {
namespace {

// The config, with diffusers' class defaults.
struct UnetOptions {
  int64_t in_channels, out_channels, sample_size, context, time_width;
  bool center_input_sample;
  SinusoidOptions sinusoids;
  std::vector<std::string> down_types, up_types;
  bool has_mid;
  std::vector<int64_t> widths, layers, heads, transformer_layers;
  int64_t mid_transformer_layers, groups, downsample_padding, conv_in_kernel, conv_out_kernel;
  double eps, mid_scale;
  bool linear_projection;
  std::vector<int64_t> only_cross;
  bool text_time, text_addition;
  int64_t addition_time_size, addition_input, addition_heads;
  TimeShift time_shift;

  UnetOptions(const Json& config, const std::string& origin);
};

void refuse_unsupported(const ConfigReader& r) {
  r.only("act_fn", {"silu", "swish"});
  r.only("mid_block_type", {"UNetMidBlock2DCrossAttn"});
  r.only("class_embed_type", {});
  r.only("num_class_embeds", {});
  r.only("encoder_hid_dim", {});
  r.only("encoder_hid_dim_type", {});
  r.only("dual_cross_attention", {false});
  r.only("resnet_time_scale_shift", {"default", "scale_shift"});
  r.only("resnet_skip_time_act", {false});
  r.only("resnet_out_scale_factor", {1.0, 1});
  r.only("time_embedding_type", {"positional"});
  r.only("time_embedding_act_fn", {});
  r.only("timestep_post_act", {});
  r.only("time_cond_proj_dim", {});
  r.only("addition_embed_type", {"text_time", "text"});
  r.only("cross_attention_norm", {});
  r.only("class_embeddings_concat", {false});
  r.only("mid_block_only_cross_attention", {});
  r.only("reverse_transformer_layers_per_block", {});
  r.only("attention_type", {"default"});
  r.only("num_attention_heads", {});
  r.only("dropout", {0.0, 0});
}

std::vector<int64_t> flags_per_block(const Json& config, const char* key, size_t count) {
  const auto found = config.find(key);
  std::vector<int64_t> flags(count, 0);
  if (found == config.end() || found->is_null()) return flags;
  for (size_t i = 0; i < count; ++i) flags[i] = found->is_array() ? found->at(i).get<bool>() : found->get<bool>();
  return flags;
}

UnetOptions::UnetOptions(const Json& config, const std::string& origin) {
  const ConfigReader r(config, origin);
  refuse_unsupported(r);
  in_channels = r.whole("in_channels", 4);
  out_channels = r.whole("out_channels", 4);
  const auto size = config.find("sample_size");
  sample_size = size != config.end() && size->is_array() ? size->at(0).get<int64_t>() : r.whole("sample_size", 64);
  center_input_sample = r.flag("center_input_sample", false);
  down_types = r.texts("down_block_types", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  up_types = r.texts("up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  has_mid = !config.contains("mid_block_type") || !config["mid_block_type"].is_null();
  widths = r.wholes("block_out_channels", {320, 640, 1280, 1280});
  const size_t n = widths.size();
  check<FormatError>(n > 0 && down_types.size() == n && up_types.size() == n, origin, ": block_out_channels, down_block_types and up_block_types must have the same length, found ", n, ", ",
                     down_types.size(), " and ", up_types.size());
  layers = r.per_block("layers_per_block", 2, n);
  heads = r.per_block("attention_head_dim", 8, n);  // diffusers' historic name: it is the number of heads
  transformer_layers = r.per_block("transformer_layers_per_block", 1, n);
  mid_transformer_layers = transformer_layers.back();
  groups = r.whole("norm_num_groups", 32);
  eps = r.number("norm_eps", 1e-5);
  mid_scale = r.number("mid_block_scale_factor", 1);
  downsample_padding = r.whole("downsample_padding", 1);
  conv_in_kernel = r.whole("conv_in_kernel", 3);
  conv_out_kernel = r.whole("conv_out_kernel", 3);
  context = r.per_block("cross_attention_dim", 1280, n)[0];
  linear_projection = r.flag("use_linear_projection", false);
  only_cross = flags_per_block(config, "only_cross_attention", n);
  time_width = r.whole("time_embedding_dim", 4 * widths[0]);
  sinusoids = {widths[0], r.flag("flip_sin_to_cos", true), r.number("freq_shift", 0)};
  text_time = r.text("addition_embed_type", "") == "text_time";
  text_addition = r.text("addition_embed_type", "") == "text";
  addition_heads = r.whole("addition_embed_type_num_heads", 64);
  time_shift = r.text("resnet_time_scale_shift", "default") == "default" ? TimeShift::add : TimeShift::scale_shift;
  addition_time_size = r.whole("addition_time_embed_dim", 0);
  addition_input = r.whole("projection_class_embeddings_input_dim", 0);
  check<FormatError>(!text_time || (addition_time_size > 0 && addition_input > 0), origin, ": addition_embed_type text_time needs addition_time_embed_dim and projection_class_embeddings_input_dim");
}

BlockOptions block_options(const UnetOptions& o, size_t level, int64_t in, bool attention) {
  BlockOptions block;
  block.layers = o.layers[level];
  block.attention = attention;
  block.transformer = {.channels = o.widths[level], .context = o.context, .heads = o.heads[level], .layers = o.transformer_layers[level], .groups = o.groups,
                       .linear_projection = o.linear_projection, .only_cross_attention = o.only_cross[level] != 0};
  block.resnet = {.in = in, .out = o.widths[level], .time = o.time_width, .groups = o.groups, .eps = o.eps, .output_scale = 1, .time_shift = o.time_shift};
  block.padding = o.downsample_padding;
  return block;
}

bool with_attention(const std::string& type, const char* plain, const char* cross, const std::string& origin) {
  check<UsageError>(type == plain || type == cross, origin, ": block type '", type, "' is not supported, expected ", plain, " or ", cross);
  return type == cross;
}

class UNet2DConditionModel : public torch::nn::Module {
 public:
  UNet2DConditionModel(const UnetOptions& o, const std::string& origin);
  Tensor forward(const Tensor& sample, const Tensor& t, const Condition& condition);
  c10::ScalarType compute_dtype() const { return conv_in_->weight.scalar_type(); }
  bool checkpointing = false;

 private:
  Tensor time_embedding(const Tensor& t, const Tensor& sample, const Condition& condition);
  UnetOptions o_;
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<TimestepEmbedding> time_embedding_, add_embedding_;  // the second for text_time
  std::shared_ptr<TextTimeEmbedding> add_text_embedding_;              // for text
  std::shared_ptr<List<DownBlock>> down_blocks_;
  std::shared_ptr<List<UpBlock>> up_blocks_;
  std::shared_ptr<MidBlock> mid_block_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

UNet2DConditionModel::UNet2DConditionModel(const UnetOptions& o, const std::string& origin) : o_(o) {
  const size_t n = o.widths.size();
  conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(o.in_channels, o.widths[0], ConvGeometry{o.conv_in_kernel, 1, (o.conv_in_kernel - 1) / 2}));
  time_embedding_ = register_module("time_embedding", std::make_shared<TimestepEmbedding>(o.widths[0], o.time_width));
  if (o.text_time) add_embedding_ = register_module("add_embedding", std::make_shared<TimestepEmbedding>(o.addition_input, o.time_width));
  if (o.text_addition) add_text_embedding_ = register_module("add_embedding", std::make_shared<TextTimeEmbedding>(o.context, o.time_width, o.addition_heads));
  down_blocks_ = register_module("down_blocks", std::make_shared<List<DownBlock>>());
  up_blocks_ = register_module("up_blocks", std::make_shared<List<UpBlock>>());
  for (size_t i = 0; i < n; ++i) {
    BlockOptions block = block_options(o, i, i ? o.widths[i - 1] : o.widths[0], with_attention(o.down_types[i], "DownBlock2D", "CrossAttnDownBlock2D", origin));
    block.resample = i + 1 < n;
    down_blocks_->add(std::make_shared<DownBlock>(block));
  }
  if (o.has_mid) {
    BlockOptions block = block_options(o, n - 1, o.widths[n - 1], true);
    block.layers = 1;
    block.transformer.only_cross_attention = false;
    block.transformer.layers = o.mid_transformer_layers;
    block.resnet.output_scale = o.mid_scale;
    mid_block_ = register_module("mid_block", std::make_shared<MidBlock>(block));
  }
  for (size_t i = 0; i < n; ++i) {
    const size_t level = n - 1 - i;
    BlockOptions block = block_options(o, level, 0, with_attention(o.up_types[i], "UpBlock2D", "CrossAttnUpBlock2D", origin));
    block.layers += 1;
    block.resample = level > 0;
    up_blocks_->add(std::make_shared<UpBlock>(block, o.widths[i ? level + 1 : level], o.widths[level ? level - 1 : 0]));
  }
  conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(o.groups, o.widths[0], o.eps));
  conv_out_ = register_module("conv_out", std::make_shared<Conv2d>(o.widths[0], o.out_channels, ConvGeometry{o.conv_out_kernel, 1, (o.conv_out_kernel - 1) / 2}));
}

Tensor UNet2DConditionModel::time_embedding(const Tensor& t, const Tensor& sample, const Condition& condition) {
  const auto dtype = sample.scalar_type();
  const Tensor steps = (t.dim() == 0 ? t.unsqueeze(0) : t).expand({sample.size(0)});
  Tensor embedding = time_embedding_->forward(timestep_sinusoids(steps, o_.sinusoids).to(dtype));
  if (add_text_embedding_) return embedding + add_text_embedding_->forward(condition.text.to(dtype));
  if (!add_embedding_) return embedding;
  check<UsageError>(condition.text_embeds.defined() && condition.time_ids.defined(), "[unet] this model needs text_embeds and time_ids (SDXL), and they were not given");
  SinusoidOptions ids = o_.sinusoids;
  ids.size = o_.addition_time_size;
  const Tensor flat = timestep_sinusoids(condition.time_ids.flatten(), ids).reshape({condition.text_embeds.size(0), -1});  // [B, 6 * 256]
  return embedding + add_embedding_->forward(torch::cat({condition.text_embeds.to(torch::kFloat32), flat}, 1).to(dtype));
}

Tensor UNet2DConditionModel::forward(const Tensor& input, const Tensor& t, const Condition& condition) {
  const Tensor sample = o_.center_input_sample ? 2 * input - 1 : input;
  const Tensor time = time_embedding(t, sample, condition);  // [B, time]
  const Tensor text = condition.text.to(sample.scalar_type());
  const BlockContext context{time, text, checkpointing};
  Tensor x = conv_in_->forward(sample);
  std::vector<Tensor> skips = {x};
  for (const auto& block : *down_blocks_) x = block->forward(x, context, skips);
  if (mid_block_) x = mid_block_->forward(x, context);
  for (const auto& block : *up_blocks_) {
    // A latent side that is not a multiple of the whole reduction: go back up to the size of the next skip.
    const size_t left = skips.size() - block->layers();
    const Tensor* next = left > 0 ? &skips[left - 1] : nullptr;
    const int64_t height = next ? next->size(2) : 0, width = next ? next->size(3) : 0;
    x = block->forward(x, context, skips, height, width);
  }
  return conv_out_->forward(torch::silu(conv_norm_out_->forward(x)));
}

class UnetDenoiser : public Denoiser {
 public:
  UnetDenoiser(const Json& config, const std::string& origin) : config_(config), options_(config, origin), model_(std::make_shared<UNet2DConditionModel>(options_, origin)) {}
  Tensor predict(const Tensor& x_t, const Tensor& t, const Condition& condition) override {
    check<UsageError>(x_t.dim() == 4 && x_t.size(1) == options_.in_channels, "[unet] expected a sample of [B, ", options_.in_channels, ", H, W], got ", show_shape(x_t.sizes()));
    check<UsageError>(condition.text.dim() == 3 && condition.text.size(2) == options_.context, "[unet] expected text states of [B, L, ", options_.context, "], got ", show_shape(condition.text.sizes()));
    // Weights that are held in half precision say what the model computes in, whatever the caller's sample is.
    const auto held = model_->compute_dtype();
    return model_->forward(held == torch::kFloat32 ? x_t : x_t.to(held), t, condition);
  }
  torch::nn::Module& module() override { return *model_; }
  const Json& config() const override { return config_; }
  int64_t latent_channels() const override { return options_.in_channels; }
  int64_t sample_size() const override { return options_.sample_size; }
  int64_t text_width() const override { return options_.context; }
  void set_gradient_checkpointing(bool on) override { model_->checkpointing = on; }

 private:
  Json config_;
  UnetOptions options_;
  std::shared_ptr<UNet2DConditionModel> model_;
};

}  // namespace

std::unique_ptr<Denoiser> make_unet_2d_condition(const Json& config, const std::string& origin) { return std::make_unique<UnetDenoiser>(config, origin); }

Condition concat_conditions(const Condition& a, const Condition& b) {
  const auto join = [](const Tensor& x, const Tensor& y) { return x.defined() ? torch::cat({x, y}, 0) : x; };
  return {join(a.text, b.text), join(a.text_embeds, b.text_embeds), join(a.time_ids, b.time_ids)};
}

}  // namespace palate
