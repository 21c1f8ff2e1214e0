// Attention as diffusers' Attention module: to_q, to_k, to_v, to_out.0.
#pragma once

#include "palate/nn/layers.h"

namespace palate {

// softmax(q k^T / sqrt(D) + bias) v. q [B, Lq, heads * D], k and v [B, Lk, heads * D], bias [B or 1, Lk] or undefined ->
// [B, Lq, heads * D]. On a CPU with AVX-512 bf16 our own kernel (where there is no bias), elsewhere libtorch's.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, const Tensor& bias = {});

class Attention : public torch::nn::Module {
 public:
  // `context` is the width of what is attended to (the query's own for self-attention).
  Attention(int64_t width, int64_t context, int64_t heads, int64_t head_size, Bias qkv_bias = Bias::without);
  Tensor forward(const Tensor& x, const Tensor& context, const Tensor& bias = {});  // [B, L, width], [B, Lc, context] -> [B, L, width]

  std::shared_ptr<Linear> to_q, to_k, to_v;
  std::shared_ptr<List<Linear>> to_out;

 private:
  int64_t heads_;
};

}  // namespace palate
