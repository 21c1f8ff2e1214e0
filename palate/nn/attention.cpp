#include "palate/nn/attention.h"

#include <torch/types.h>

#include "palate/nn/cpu/flash_attention.h"

namespace palate {

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, const Tensor& bias) {
  if (!bias.defined() && flash_attention_serves(q, k, v, heads)) return flash_attention(q, k, v, heads);
  const auto split = [heads](const Tensor& x) { return x.view({x.size(0), x.size(1), heads, -1}).transpose(1, 2); };  // [B, H, L, D]
  const Tensor out = at::scaled_dot_product_attention(
      split(q), split(k), split(v), bias.defined() ? std::optional(bias.to(q.scalar_type()).unsqueeze(1).unsqueeze(1)) : std::nullopt);
  return out.transpose(1, 2).reshape(q.sizes());
}

Attention::Attention(int64_t width, int64_t context, int64_t heads, int64_t head_size, Bias qkv_bias) : heads_(heads) {
  const int64_t inner = heads * head_size;
  to_q = register_module("to_q", std::make_shared<Linear>(width, inner, qkv_bias));
  to_k = register_module("to_k", std::make_shared<Linear>(context, inner, qkv_bias));
  to_v = register_module("to_v", std::make_shared<Linear>(context, inner, qkv_bias));
  to_out = register_module("to_out", std::make_shared<List<Linear>>());
  to_out->add(std::make_shared<Linear>(inner, width));
}

Tensor Attention::forward(const Tensor& x, const Tensor& context, const Tensor& bias) {
  return (*to_out)[0].forward(attention(to_q->forward(x), to_k->forward(context), to_v->forward(context), heads_, bias));
}

}  // namespace palate
