#include "palate/models/unet/unet_2d_condition.h"

#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/unet/unet_blocks.h"
#include "palate/models/unet/unet_embeddings.h"
#include "palate/nn/memory_format.h"

namespace palate {
namespace {

BlockOptions block_options(const UnetOptions& o, const UnetLevel& level, int64_t in) {
  BlockOptions block;
  block.layers = level.layers;
  block.transformer = {.channels = level.width,
                       .context = o.context,
                       .heads = level.heads,
                       .layers = 0,
                       .groups = o.groups,
                       .linear_projection = o.linear_projection,
                       .only_cross_attention = level.only_cross_attention};
  block.resnet = {.in = in,
                  .out = level.width,
                  .time = o.time_width(),
                  .groups = o.groups,
                  .eps = o.eps,
                  .output_scale = 1,
                  .time_shift = o.time_shift,
                  .activation = o.activation};
  block.padding = o.downsample_padding;
  return block;
}

class UNet2DConditionModel : public torch::nn::Module {
 public:
  explicit UNet2DConditionModel(const UnetOptions& o);
  Tensor forward(const Tensor& sample, const Tensor& t, const Condition& condition);
  std::vector<Tensor> features(const Tensor& sample, const Tensor& t, const Condition& condition, const std::vector<std::string>& taps);
  c10::ScalarType compute_dtype() const { return conv_in_->weight.scalar_type(); }
  void arrange_weights();
  bool checkpointing = false;

 private:
  using Visit = std::function<void(size_t stage, const Tensor& leaves)>;
  Tensor run(const Tensor& input, const Tensor& t, const Condition& condition, size_t last, const Visit& visit);
  size_t stage(const std::string& tap) const;
  Tensor arranged(const Tensor& sample) const;
  UnetOptions o_;
  bool channels_last_ = false;
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::optional<UnetEmbeddings> embeddings_;
  std::shared_ptr<List<DownBlock>> down_blocks_;
  std::shared_ptr<List<UpBlock>> up_blocks_;
  std::shared_ptr<MidBlock> mid_block_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
  std::vector<std::string> stages_ = {"conv_in"};  // the blocks' names in the order in which they run
};

UNet2DConditionModel::UNet2DConditionModel(const UnetOptions& o) : o_(o) {
  const size_t n = o.levels.size();
  const int64_t first = o.levels.front().width;
  conv_in_ = register_module("conv_in",
                             std::make_shared<Conv2d>(o.in_channels, first, ConvGeometry{o.conv_in_kernel, 1, (o.conv_in_kernel - 1) / 2}));
  embeddings_.emplace(*this, o);
  down_blocks_ = register_module("down_blocks", std::make_shared<List<DownBlock>>());
  up_blocks_ = register_module("up_blocks", std::make_shared<List<UpBlock>>());
  for (size_t i = 0; i < n; ++i) {
    BlockOptions block = block_options(o, o.levels[i], o.levels[i ? i - 1 : 0].width);
    block.transformers = o.levels[i].down_transformers;
    block.resample = i + 1 < n;
    down_blocks_->add(std::make_shared<DownBlock>(block));
    stages_.push_back("down_blocks." + std::to_string(i));
  }
  if (o.mid) {
    BlockOptions block = block_options(o, o.levels.back(), o.levels.back().width);
    if (o.mid_attention) block.transformers = {o.mid_transformers};
    block.transformer.only_cross_attention = false;
    block.resnet.output_scale = o.mid_scale;
    mid_block_ = register_module("mid_block", std::make_shared<MidBlock>(block));
    stages_.push_back("mid_block");
  }
  for (size_t i = 0; i < n; ++i) {
    const size_t level = n - 1 - i;
    BlockOptions block = block_options(o, o.levels[level], 0);
    block.transformers = o.levels[level].up_transformers;
    block.layers += 1;
    block.resample = level > 0;
    up_blocks_->add(std::make_shared<UpBlock>(block, o.levels[i ? level + 1 : level].width, o.levels[level ? level - 1 : 0].width));
    stages_.push_back("up_blocks." + std::to_string(i));
  }
  conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(o.groups, first, o.eps));
  conv_out_ = register_module(
      "conv_out", std::make_shared<Conv2d>(first, o.out_channels, ConvGeometry{o.conv_out_kernel, 1, (o.conv_out_kernel - 1) / 2}));
}

// diffusers' reading of a mask (1 keep, 0 discard): -10000 on the scores of what is discarded.
Tensor score_bias(const Tensor& mask, const Tensor& sample) {
  if (!mask.defined()) return mask;
  check<UsageError>(mask.dim() == 2, "[unet] expected attention masks of [B, keys], got ", show_shape(mask.sizes()));
  return (1 - mask.to(sample.scalar_type())) * -10000.0;
}

// On the CPU in bf16, channels-last: pixels are then the rows that the transformers work on, and convolutions need no copies of them.
void UNet2DConditionModel::arrange_weights() {
  const Tensor& weight = conv_in_->weight;
  if (!weight.is_cpu() || weight.scalar_type() != torch::kBFloat16) return;
  to_channels_last(*this);
  channels_last_ = true;
}

Tensor UNet2DConditionModel::arranged(const Tensor& sample) const {
  return channels_last_ && sample.is_cpu() ? sample.contiguous(torch::MemoryFormat::ChannelsLast) : sample;
}

// The activations that leave stage `last`; `visit` sees those of every stage up to it.
Tensor UNet2DConditionModel::run(const Tensor& input, const Tensor& t, const Condition& condition, size_t last, const Visit& visit) {
  const Tensor sample = arranged(o_.center_input_sample ? 2 * input - 1 : input);
  const Tensor time = embeddings_->time(t, sample, condition);  // [B, time]
  const Tensor text = embeddings_->text(sample, condition);     // [B, L, context]
  const AttentionBias bias{score_bias(condition["attention_mask"], sample), score_bias(condition["encoder_attention_mask"], sample)};
  const BlockContext context{time, text, bias, checkpointing};
  const bool goes_up = last + up_blocks_->size() >= stages_.size();
  size_t stage = 0;
  const auto is_last = [&](const Tensor& leaves) {
    visit(stage, leaves);
    return stage++ == last;
  };
  Tensor x = conv_in_->forward(sample);
  if (is_last(x)) return x;
  std::vector<Tensor> skips = {x};
  for (const auto& block : *down_blocks_) {
    x = block->forward(x, context, skips);
    if (is_last(x)) return x;
    if (!goes_up) skips.clear();
  }
  if (mid_block_) {
    x = mid_block_->forward(x, context);
    if (is_last(x)) return x;
  }
  for (const auto& block : *up_blocks_) {
    // A latent side that is not a multiple of the whole reduction: go back up to the size of the next skip.
    const size_t left = skips.size() - block->layers();
    const Tensor* next = left > 0 ? &skips[left - 1] : nullptr;
    const int64_t height = next ? next->size(2) : 0, width = next ? next->size(3) : 0;
    x = block->forward(x, context, skips, height, width);
    if (is_last(x)) break;
  }
  return x;
}

Tensor UNet2DConditionModel::forward(const Tensor& input, const Tensor& t, const Condition& condition) {
  const Tensor x = run(input, t, condition, stages_.size() - 1, [](size_t, const Tensor&) {});
  return conv_out_->forward(conv_norm_out_->forward(x, o_.activation)).contiguous();
}

size_t UNet2DConditionModel::stage(const std::string& tap) const {
  if (tap == "down_blocks") return down_blocks_->size();
  const auto found = std::find(stages_.begin(), stages_.end(), tap);
  check<UsageError>(found != stages_.end(), "[unet] this model has no block '", tap, "' to take features from: expected ", one_of(stages_),
                    did_you_mean(tap, stages_));
  return static_cast<size_t>(found - stages_.begin());
}

std::vector<Tensor> UNet2DConditionModel::features(const Tensor& input, const Tensor& t, const Condition& condition,
                                                   const std::vector<std::string>& taps) {
  check<UsageError>(!taps.empty(), "[unet] expected the names of blocks to take features from (", one_of(stages_), "), found none");
  std::vector<size_t> wanted;
  for (const auto& tap : taps) wanted.push_back(stage(tap));
  std::vector<Tensor> taken(taps.size());
  run(input, t, condition, *std::max_element(wanted.begin(), wanted.end()), [&](size_t at, const Tensor& leaves) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i] == at) taken[i] = leaves;
    }
  });
  return taken;
}

class UnetDenoiser : public Denoiser {
 public:
  UnetDenoiser(const Json& config, const std::string& origin)
      : config_(config), options_(config, origin), model_(std::make_shared<UNet2DConditionModel>(options_)) {}
  Tensor predict(const Tensor& x_t, const Tensor& t, const Condition& condition) override {
    check_inputs(x_t, condition);
    // Weights that are held in half precision say what the model computes in, whatever the caller's sample is.
    const auto held = model_->compute_dtype();
    return model_->forward(held == torch::kFloat32 ? x_t : x_t.to(held), t, condition);
  }
  std::vector<Tensor> features(const Tensor& x_t, const Tensor& t, const Condition& condition,
                               const std::vector<std::string>& taps) override {
    check_inputs(x_t, condition);
    return model_->features(x_t, t, condition, taps);
  }
  torch::nn::Module& module() override { return *model_; }
  const Json& config() const override { return config_; }
  int64_t latent_channels() const override { return options_.out_channels; }
  int64_t in_channels() const override { return options_.in_channels; }
  int64_t sample_size() const override { return options_.sample_size; }
  int64_t text_width() const override { return options_.text_width; }
  void set_gradient_checkpointing(bool on) override { model_->checkpointing = on; }
  void arrange_weights() override { model_->arrange_weights(); }

 private:
  void check_inputs(const Tensor& x_t, const Condition& condition) const {
    check<UsageError>(x_t.dim() == 4 && x_t.size(1) == options_.in_channels, "[unet] expected a sample of [B, ", options_.in_channels,
                      ", H, W], got ", show_shape(x_t.sizes()));
    const Tensor text = condition["encoder_hidden_states"];
    check<UsageError>(!options_.uses_text || (text.defined() && text.dim() == 3 && text.size(2) == options_.text_width),
                      "[unet] expected text states of [B, L, ", options_.text_width, "], got ",
                      text.defined() ? show_shape(text.sizes()) : "none");
  }

  Json config_;
  UnetOptions options_;
  std::shared_ptr<UNet2DConditionModel> model_;
};

}  // namespace

std::unique_ptr<Denoiser> make_unet_2d_condition(const Json& config, const std::string& origin) {
  return std::make_unique<UnetDenoiser>(config, origin);
}

}  // namespace palate
