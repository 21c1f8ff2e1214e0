// The blocks of UNet2DConditionModel: residual blocks with or without cross-attention, down, middle and up.
#pragma once

#include <vector>

#include "palate/nn/resnet.h"
#include "palate/nn/transformer.h"

namespace palate {

struct BlockOptions {
  int64_t layers = 1;                 // residual blocks
  std::vector<int64_t> transformers;  // layers in the transformer after each residual block; empty: no attention
  TransformerOptions transformer;     // of each, but for its layers; channels are the block's own
  ResnetOptions resnet;               // in: of the first residual block; out: of all
  bool resample = false;              // down- or upsampler at the end
  int64_t padding = 1;                // of the downsampler
};

// What every block is given besides its input.
struct BlockContext {
  const Tensor& time;  // [B, 4 * first width]
  const Tensor& text;  // [B, L, D]
  const AttentionBias& bias;
  bool checkpointing;  // rerun blocks in the backward pass instead of keeping their activations
};

class DownBlock : public torch::nn::Module {
 public:
  explicit DownBlock(const BlockOptions& options);
  Tensor forward(Tensor x, const BlockContext& context, std::vector<Tensor>& skips);  // appends what the up path needs

 private:
  std::shared_ptr<List<ResnetBlock2D>> resnets_;
  std::shared_ptr<List<Transformer2DModel>> attentions_;
  std::shared_ptr<List<Downsample2D>> downsamplers_;
};

class MidBlock : public torch::nn::Module {
 public:
  explicit MidBlock(const BlockOptions& options);  // a residual block, then a transformer and a residual block for each of `transformers`
  Tensor forward(Tensor x, const BlockContext& context);

 private:
  std::shared_ptr<List<ResnetBlock2D>> resnets_;
  std::shared_ptr<List<Transformer2DModel>> attentions_;
};

class UpBlock : public torch::nn::Module {
 public:
  // `previous` is the width of what comes from below, `skip` of the down path's block on this level.
  UpBlock(const BlockOptions& options, int64_t previous, int64_t skip);
  // Takes its share from the end of `skips`; height and width (0: twice) is what the upsampler must reach.
  Tensor forward(Tensor x, const BlockContext& context, std::vector<Tensor>& skips, int64_t height, int64_t width);
  size_t layers() const { return resnets_->size(); }

 private:
  std::shared_ptr<List<ResnetBlock2D>> resnets_;
  std::shared_ptr<List<Transformer2DModel>> attentions_;
  std::shared_ptr<List<Upsample2D>> upsamplers_;
};

}  // namespace palate
