#include "palate/nn/cpu/flash_attention.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

#include "palate/nn/cpu/dispatch.h"
#include "palate/nn/cpu/flash_tiles.h"

namespace palate {
namespace {

using flash::bf16;
constexpr float log2e = 1.4426950408889634f;

// One attention problem: batch x heads independent ones, addressed in place inside [B, L, heads * D].
struct Problem {
  int64_t batch, heads, queries, keys, size;
  float scale;
  Problem(const Tensor& q, const Tensor& k, int64_t h)
      : batch(q.size(0)),
        heads(h),
        queries(q.size(1)),
        keys(k.size(1)),
        size(q.size(2) / h),
        scale(1.f / std::sqrt(static_cast<float>(size))) {}
};

struct View {
  bf16* data;
  int64_t batch_stride, stride;  // elements between samples, between rows
  explicit View(const Tensor& t) : data(t.data_ptr<bf16>()), batch_stride(t.stride(0)), stride(t.stride(1)) {}
  bf16* head(int64_t b, int64_t h, int64_t size, int64_t row = 0) const { return data + b * batch_stride + h * size + row * stride; }
};

int64_t even(int64_t n) { return n + (n & 1); }

// Tile sizes: the score tile and the probability tile of one block stay in the second-level cache.
constexpr int64_t forward_queries = 128, forward_keys = 512, backward_queries = 256, backward_keys = 128;

void multiply(int64_t m, int64_t n, int64_t k, const bf16* a, int64_t lda, const bf16* b, int64_t ldb, float* c, int64_t ldc, bool add) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, true);
}

// --- forward ----------------------------------------------------------------------------------------------------------

struct ForwardScratch {
  std::vector<bf16> keys, values, p;
  std::vector<float> s, acc, maximum, sum, correction;
  explicit ForwardScratch(const Problem& n)
      : keys(static_cast<size_t>(n.keys * n.size)),
        values(static_cast<size_t>(even(n.keys) * n.size)),
        p(forward_queries * forward_keys),
        s(forward_queries * forward_keys),
        acc(static_cast<size_t>(forward_queries * n.size)),
        maximum(forward_queries),
        sum(forward_queries),
        correction(forward_queries) {}
};

void forward_queries_block(const Problem& n, const View& q, const View& out, int64_t b, int64_t h, int64_t begin, ForwardScratch& w,
                           float* lse) {
  const int64_t rows = std::min(forward_queries, n.queries - begin);
  std::fill(w.maximum.begin(), w.maximum.end(), -INFINITY);
  std::fill(w.sum.begin(), w.sum.end(), 0.f);
  for (int64_t k = 0; k < n.keys; k += forward_keys) {
    const int64_t columns = std::min(forward_keys, n.keys - k);
    // Packed keys are kept block by block, so that a block's leading dimension is its own width.
    multiply(rows, columns, n.size, q.head(b, h, n.size, begin), q.stride, w.keys.data() + k * n.size, columns, w.s.data(), columns, false);
    flash::softmax_tile(w.s.data(), columns, rows, columns, n.scale, w.maximum.data(), w.sum.data(), w.correction.data(), w.p.data(),
                        even(columns));
    if (k > 0) flash::scale_rows(w.acc.data(), rows, n.size, w.correction.data());
    multiply(rows, n.size, even(columns), w.p.data(), even(columns), w.values.data() + k * n.size, n.size, w.acc.data(), n.size, k > 0);
  }
  for (int64_t r = 0; r < rows; ++r) {
    if (lse) lse[r] = w.maximum[static_cast<size_t>(r)] + std::log2(w.sum[static_cast<size_t>(r)]);
    w.sum[static_cast<size_t>(r)] = 1.f / w.sum[static_cast<size_t>(r)];
  }
  flash::store_rows(w.acc.data(), rows, n.size, w.sum.data(), out.head(b, h, n.size, begin), out.stride);
}

// lse [batch, heads, queries], base 2, of the scaled scores; null when no backward will follow.
void run_forward(const Problem& n, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, float* lse) {
  const View qv(q), kv(k), vv(v), ov(out);
  at::parallel_for(0, n.batch * n.heads, 1, [&](int64_t first, int64_t last) {
    ForwardScratch w(n);
    for (int64_t i = first; i < last; ++i) {
      const int64_t b = i / n.heads, h = i % n.heads;
      for (int64_t c = 0; c < n.keys; c += forward_keys) {
        const int64_t columns = std::min(forward_keys, n.keys - c);
        flash::pack_transposed(kv.head(b, h, n.size, c), kv.stride, columns, n.size, w.keys.data() + c * n.size);
        flash::pack_rows(vv.head(b, h, n.size, c), vv.stride, columns, n.size, w.values.data() + c * n.size);
      }
      for (int64_t row = 0; row < n.queries; row += forward_queries) {
        forward_queries_block(n, qv, ov, b, h, row, w, lse ? lse + i * n.queries + row : nullptr);
      }
    }
    at::native::cpublas::brgemm_release();
  });
}

// --- backward ---------------------------------------------------------------------------------------------------------

// Tiles are held transposed, [keys, queries]: then P^T and dS^T are left operands as they are, and only dS^T also has to
// be written as pairs of rows, for dQ^T = K^T dS^T.
struct BackwardScratch {
  std::vector<bf16> q_columns, q_rows, g_columns, g_rows, k_transposed, p, ds, ds_pairs;
  std::vector<float> s, dp, dk, dv, dq, delta;
  explicit BackwardScratch(const Problem& n)
      : q_columns(count(n.queries * n.size)),
        q_rows(count(even(n.queries) * n.size)),
        g_columns(count(n.queries * n.size)),
        g_rows(count(even(n.queries) * n.size)),
        k_transposed(count(n.size * even(backward_keys))),
        p(tile),
        ds(tile),
        ds_pairs(tile),
        s(tile),
        dp(tile),
        dk(count(backward_keys * n.size)),
        dv(count(backward_keys * n.size)),
        dq(count(n.size * n.queries)),
        delta(count(n.queries)) {}
  static constexpr size_t tile = (backward_keys + 1) * backward_queries;
  static size_t count(int64_t n) { return static_cast<size_t>(n); }
};

void pack_queries(const Problem& n, const View& q, const View& g, const View& out, int64_t b, int64_t h, BackwardScratch& w) {
  for (int64_t c = 0; c < n.queries; c += backward_queries) {
    const int64_t rows = std::min(backward_queries, n.queries - c);
    flash::pack_transposed(q.head(b, h, n.size, c), q.stride, rows, n.size, w.q_columns.data() + c * n.size);
    flash::pack_transposed(g.head(b, h, n.size, c), g.stride, rows, n.size, w.g_columns.data() + c * n.size);
    flash::pack_rows(q.head(b, h, n.size, c), q.stride, rows, n.size, w.q_rows.data() + c * n.size);
    flash::pack_rows(g.head(b, h, n.size, c), g.stride, rows, n.size, w.g_rows.data() + c * n.size);
  }
  flash::row_dot(g.head(b, h, n.size), g.stride, out.head(b, h, n.size), out.stride, n.queries, n.size, w.delta.data());
}

void backward_tile_pair(const Problem& n, const View& k, const View& v, int64_t b, int64_t h, int64_t key, int64_t query, const float* lse,
                        BackwardScratch& w) {
  const int64_t keys = std::min(backward_keys, n.keys - key), queries = std::min(backward_queries, n.queries - query);
  multiply(keys, queries, n.size, k.head(b, h, n.size, key), k.stride, w.q_columns.data() + query * n.size, queries, w.s.data(), queries,
           false);
  multiply(keys, queries, n.size, v.head(b, h, n.size, key), v.stride, w.g_columns.data() + query * n.size, queries, w.dp.data(), queries,
           false);
  flash::backward_tile(w.s.data(), w.dp.data(), keys, queries, n.scale, lse + query, w.delta.data() + query, w.p.data(), w.ds.data(),
                       w.ds_pairs.data());
  const bool add = query > 0;
  multiply(keys, n.size, queries, w.p.data(), queries, w.g_rows.data() + query * n.size, n.size, w.dv.data(), n.size, add);
  multiply(keys, n.size, queries, w.ds.data(), queries, w.q_rows.data() + query * n.size, n.size, w.dk.data(), n.size, add);
  multiply(n.size, queries, even(keys), w.k_transposed.data(), even(keys), w.ds_pairs.data(), queries, w.dq.data() + query * n.size,
           queries, key > 0);
}

void run_backward(const Problem& n, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& g, const float* lse,
                  const Tensor& dq, const Tensor& dk, const Tensor& dv) {
  const View qv(q), kv(k), vv(v), ov(out), gv(g), dqv(dq), dkv(dk), dvv(dv);
  at::parallel_for(0, n.batch * n.heads, 1, [&](int64_t first, int64_t last) {
    BackwardScratch w(n);
    for (int64_t i = first; i < last; ++i) {
      const int64_t b = i / n.heads, h = i % n.heads;
      pack_queries(n, qv, gv, ov, b, h, w);
      for (int64_t key = 0; key < n.keys; key += backward_keys) {
        const int64_t keys = std::min(backward_keys, n.keys - key);
        std::fill(w.k_transposed.begin(), w.k_transposed.end(), bf16(0.f));
        flash::transpose(kv.head(b, h, n.size, key), kv.stride, keys, n.size, w.k_transposed.data(), even(keys));
        for (int64_t query = 0; query < n.queries; query += backward_queries)
          backward_tile_pair(n, kv, vv, b, h, key, query, lse + i * n.queries, w);
        flash::store_rows(w.dk.data(), keys, n.size, nullptr, dkv.head(b, h, n.size, key), dkv.stride);
        flash::store_rows(w.dv.data(), keys, n.size, nullptr, dvv.head(b, h, n.size, key), dvv.stride);
      }
      for (int64_t query = 0; query < n.queries; query += backward_queries) {
        const int64_t queries = std::min(backward_queries, n.queries - query);
        flash::store_transposed(w.dq.data() + query * n.size, n.size, queries, dqv.head(b, h, n.size, query), dqv.stride);
      }
    }
    at::native::cpublas::brgemm_release();
  });
}

struct FlashAttention : torch::autograd::Function<FlashAttention> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads) {
    const Problem n(q, k, heads);
    const Tensor out = torch::empty({n.batch, n.queries, n.heads * n.size}, q.options());
    const Tensor lse = torch::empty({n.batch, n.heads, n.queries}, q.options().dtype(torch::kFloat32));
    run_forward(n, q, k, v, out, lse.data_ptr<float>());
    context->saved_data["heads"] = heads;
    context->save_for_backward({q, k, v, out, lse});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Problem n(saved[0], saved[1], context->saved_data["heads"].toInt());
    const Tensor g = gradients[0].to(torch::kBFloat16).contiguous();
    const Tensor dq = torch::empty(saved[0].sizes(), saved[0].options());
    const Tensor dk = torch::empty(saved[1].sizes(), saved[1].options());
    const Tensor dv = torch::empty(saved[2].sizes(), saved[2].options());
    run_backward(n, saved[0], saved[1], saved[2], saved[3], g, saved[4].data_ptr<float>(), dq, dk, dv);
    return {dq, dk, dv, Tensor()};
  }
};

// Whether libtorch's brgemm multiplies bf16 here. It says no by an exception alone: where ONEDNN_MAX_CPU_ISA hides the processor's
// instructions, or in a libtorch without oneDNN's micro-kernels.
bool brgemm_supported() {
  try {
    const bf16 ones[4] = {1.f, 1.f, 1.f, 1.f};
    float sums[4] = {};
    multiply(2, 2, 2, ones, 2, ones, 2, sums, 2, false);
    at::native::cpublas::brgemm_release();
    return true;
  } catch (const c10::Error&) {
    return false;
  }
}

bool usable(const Tensor& t) { return t.is_cpu() && t.scalar_type() == torch::kBFloat16 && t.dim() == 3 && t.stride(2) == 1; }

}  // namespace

bool flash_attention_serves(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads) {
  static const bool supported = avx512_bf16_supported() && brgemm_supported();
  return supported && usable(q) && usable(k) && usable(v) && q.size(2) % (2 * heads) == 0;
}

Tensor flash_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads) { return FlashAttention::apply(q, k, v, heads); }

}  // namespace palate
