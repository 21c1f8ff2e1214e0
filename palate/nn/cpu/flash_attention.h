// Attention on the CPU in bf16 without the score matrix in memory, forward and backward, on libtorch's brgemm
// micro-kernels (FlashAttention, Dao et al., 2022; the backward recomputes the probabilities block by block).
#pragma once

#include <cstdint>

#include "palate/core/tensor_fwd.h"

namespace palate {

// Whether flash_attention serves these: bf16 on a CPU with AVX-512 bf16 that libtorch may use, even head size, channels contiguous.
bool flash_attention_serves(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads);

// q [B, Lq, heads * D], k and v [B, Lk, heads * D] -> softmax(q k^T / sqrt(D)) v, [B, Lq, heads * D]. Scores, maxima,
// sums and accumulators are float32; probabilities are rounded to bf16 before the second product.
Tensor flash_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads);

}  // namespace palate
