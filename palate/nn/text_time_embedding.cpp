#include "palate/nn/text_time_embedding.h"

#include <torch/types.h>

#include "palate/core/error.h"

namespace palate {

AttentionPooling::AttentionPooling(int64_t heads, int64_t width) : heads_(heads) {
  check<UsageError>(heads > 0 && width % heads == 0, "[attention pooling] ", width, " channels cannot be divided into ", heads, " heads");
  positional_embedding = register_parameter("positional_embedding", torch::empty({1, width}), false);
  k_proj_ = register_module("k_proj", std::make_shared<Linear>(width, width));
  q_proj_ = register_module("q_proj", std::make_shared<Linear>(width, width));
  v_proj_ = register_module("v_proj", std::make_shared<Linear>(width, width));
}

Tensor AttentionPooling::forward(const Tensor& x) {
  const Tensor token = x.mean(1, /*keepdim=*/true) + positional_embedding.to(x.scalar_type());  // [B, 1, D]
  const Tensor all = torch::cat({token, x}, 1);                                                 // [B, L + 1, D]
  const auto split = [this](const Tensor& y) { return y.view({y.size(0), y.size(1), heads_, -1}).transpose(1, 2); };
  const Tensor out =
      at::scaled_dot_product_attention(split(q_proj_->forward(token)), split(k_proj_->forward(all)), split(v_proj_->forward(all)));
  return out.transpose(1, 2).reshape({x.size(0), x.size(2)});  // [B, H, 1, D / H] -> [B, D]
}

TextTimeEmbedding::TextTimeEmbedding(int64_t text_width, int64_t time_width, int64_t heads) {
  norm1_ = register_module("norm1", std::make_shared<LayerNorm>(text_width));
  pool_ = register_module("pool", std::make_shared<AttentionPooling>(heads, text_width));
  proj_ = register_module("proj", std::make_shared<Linear>(text_width, time_width));
  norm2_ = register_module("norm2", std::make_shared<LayerNorm>(time_width));
}

Tensor TextTimeEmbedding::forward(const Tensor& text) { return norm2_->forward(proj_->forward(pool_->forward(norm1_->forward(text)))); }

}  // namespace palate
