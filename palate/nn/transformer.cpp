#include "palate/nn/transformer.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/nn/geglu.h"

namespace palate {

FeedForward::FeedForward(int64_t width) {
  // The names have numeric levels (net.0.proj, net.2; net.1 is a dropout without parameters).
  auto net = register_module("net", std::make_shared<torch::nn::Module>());
  auto first = net->register_module("0", std::make_shared<torch::nn::Module>());
  proj_ = first->register_module("proj", std::make_shared<Linear>(width, 8 * width));
  out_ = net->register_module("2", std::make_shared<Linear>(4 * width, width));
}

Tensor FeedForward::forward(const Tensor& x) { return out_->forward(geglu(proj_->forward(x))); }

BasicTransformerBlock::BasicTransformerBlock(int64_t width, int64_t context, int64_t heads, int64_t head_size, bool only_cross_attention)
    : only_cross_attention_(only_cross_attention) {
  norm1_ = register_module("norm1", std::make_shared<LayerNorm>(width));
  attn1_ = register_module("attn1", std::make_shared<Attention>(width, only_cross_attention ? context : width, heads, head_size));
  norm2_ = register_module("norm2", std::make_shared<LayerNorm>(width));
  attn2_ = register_module("attn2", std::make_shared<Attention>(width, context, heads, head_size));
  norm3_ = register_module("norm3", std::make_shared<LayerNorm>(width));
  ff_ = register_module("ff", std::make_shared<FeedForward>(width));
}

Tensor BasicTransformerBlock::forward(const Tensor& input, const Tensor& context, const AttentionBias& bias) {
  const Tensor first = norm1_->forward(input);
  Tensor x = input + attn1_->forward(first, only_cross_attention_ ? context : first, bias.first);
  x = x + attn2_->forward(norm2_->forward(x), context, bias.second);
  return x + ff_->forward(norm3_->forward(x));
}

Transformer2DModel::Transformer2DModel(const TransformerOptions& o) {
  check<UsageError>(o.heads > 0 && o.channels >= o.heads, "[transformer] ", o.channels, " channels cannot be divided into ", o.heads,
                    " heads");
  // Heads that do not divide the channels work on fewer: the projections in and out change the width.
  const int64_t head_size = o.channels / o.heads, inner = o.heads * head_size;
  norm_ = register_module("norm", std::make_shared<GroupNorm>(o.groups, o.channels, 1e-6));
  const ConvGeometry point{.kernel = 1, .stride = 1, .padding = 0};
  if (o.linear_projection) {
    proj_in_ = register_module("proj_in", std::make_shared<Linear>(o.channels, inner));
  } else {
    proj_in_conv_ = register_module("proj_in", std::make_shared<Conv2d>(o.channels, inner, point));
  }
  blocks_ = register_module("transformer_blocks", std::make_shared<List<BasicTransformerBlock>>());
  for (int64_t i = 0; i < o.layers; ++i) {
    blocks_->add(std::make_shared<BasicTransformerBlock>(inner, o.context, o.heads, head_size, o.only_cross_attention));
  }
  if (o.linear_projection) {
    proj_out_ = register_module("proj_out", std::make_shared<Linear>(inner, o.channels));
  } else {
    proj_out_conv_ = register_module("proj_out", std::make_shared<Conv2d>(inner, o.channels, point));
  }
}

Tensor Transformer2DModel::forward(const Tensor& input, const Tensor& context, const AttentionBias& bias) {
  const int64_t b = input.size(0), h = input.size(2), w = input.size(3);
  Tensor x = norm_->forward(input);
  if (proj_in_conv_) x = proj_in_conv_->forward(x);
  x = x.permute({0, 2, 3, 1}).reshape({b, h * w, x.size(1)});  // [B, HW, inner]
  if (proj_in_) x = proj_in_->forward(x);
  for (const auto& block : *blocks_) x = block->forward(x, context, bias);
  if (proj_out_) x = proj_out_->forward(x);
  x = x.view({b, h, w, x.size(2)}).permute({0, 3, 1, 2});  // [B, C, H, W]
  if (proj_out_conv_) x = proj_out_conv_->forward(x);
  return x + input;
}

}  // namespace palate
