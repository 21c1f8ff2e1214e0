// diffusers' BasicTransformerBlock and Transformer2DModel.
#pragma once

#include "palate/nn/attention.h"

namespace palate {

// ff.net.0.proj and ff.net.2: GEGLU and the way back.
class FeedForward : public torch::nn::Module {
 public:
  explicit FeedForward(int64_t width);
  Tensor forward(const Tensor& x);

 private:
  std::shared_ptr<Linear> proj_, out_;
};

// Added to the scores of the first and of the second attention of a block: [B, keys] or undefined.
struct AttentionBias {
  Tensor first = {}, second = {};
};

class BasicTransformerBlock : public torch::nn::Module {
 public:
  BasicTransformerBlock(int64_t width, int64_t context, int64_t heads, int64_t head_size, bool only_cross_attention);
  Tensor forward(const Tensor& x, const Tensor& context, const AttentionBias& bias);

 private:
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<Attention> attn1_, attn2_;
  std::shared_ptr<FeedForward> ff_;
  bool only_cross_attention_;
};

struct TransformerOptions {
  int64_t channels = 0, context = 0, heads = 0, layers = 1, groups = 32;
  bool linear_projection = false, only_cross_attention = false;
};

class Transformer2DModel : public torch::nn::Module {
 public:
  explicit Transformer2DModel(const TransformerOptions& options);
  Tensor forward(const Tensor& x, const Tensor& context, const AttentionBias& bias = {});  // [B, C, H, W], [B, L, D]

 private:
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Conv2d> proj_in_conv_, proj_out_conv_;
  std::shared_ptr<Linear> proj_in_, proj_out_;
  std::shared_ptr<List<BasicTransformerBlock>> blocks_;
};

}  // namespace palate
