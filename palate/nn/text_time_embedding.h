// diffusers' TextTimeEmbedding (addition_embed_type "text"): the text states, pooled by attention, as a further embedding
// that is added to the timestep's.
#pragma once

#include "palate/nn/layers.h"

namespace palate {

class AttentionPooling : public torch::nn::Module {
 public:
  AttentionPooling(int64_t heads, int64_t width);
  Tensor forward(const Tensor& x);  // [B, L, width] -> [B, width]: what the mean token attends to
  Tensor positional_embedding;      // [1, width]

 private:
  int64_t heads_;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_;
};

class TextTimeEmbedding : public torch::nn::Module {
 public:
  TextTimeEmbedding(int64_t text_width, int64_t time_width, int64_t heads);
  Tensor forward(const Tensor& text);  // [B, L, text_width] -> [B, time_width]

 private:
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<AttentionPooling> pool_;
  std::shared_ptr<Linear> proj_;
};

}  // namespace palate
