#include "palate/nn/cpu/flash_tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "palate/nn/cpu/avx512.h"

namespace palate::flash {

using namespace avx512;

namespace {

// 16 x 16 units of four bytes, in place: row i becomes column i.
void transpose_units(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // r[4 a + b] now holds, in lane l, column 4 l + b of rows 4 a .. 4 a + 3.
  for (int b = 0; b < 4; ++b) {
    const __m512i low = _mm512_shuffle_i32x4(r[b], r[4 + b], 0x44), high = _mm512_shuffle_i32x4(r[b], r[4 + b], 0xEE);
    const __m512i low2 = _mm512_shuffle_i32x4(r[8 + b], r[12 + b], 0x44), high2 = _mm512_shuffle_i32x4(r[8 + b], r[12 + b], 0xEE);
    t[b] = _mm512_shuffle_i32x4(low, low2, 0x88);
    t[4 + b] = _mm512_shuffle_i32x4(low, low2, 0xDD);
    t[8 + b] = _mm512_shuffle_i32x4(high, high2, 0x88);
    t[12 + b] = _mm512_shuffle_i32x4(high, high2, 0xDD);
  }
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

}  // namespace

void pack_transposed(const bf16* in, int64_t stride, int64_t rows, int64_t columns, bf16* out) {
  const int64_t pairs = columns / 2;
  for (int64_t first = 0; first < rows; first += 16) {
    const __mmask16 row_mask = tail_mask(rows - first);
    for (int64_t c = 0; c < pairs; c += 16) {
      const __mmask16 mask = tail_mask(pairs - c);
      __m512i units[16];
      for (int64_t r = 0; r < 16; ++r)
        units[r] = first + r < rows ? _mm512_maskz_loadu_epi32(mask, in + (first + r) * stride + 2 * c) : _mm512_setzero_si512();
      transpose_units(units);
      for (int64_t i = 0; i < std::min<int64_t>(16, pairs - c); ++i)
        _mm512_mask_storeu_epi32(out + ((c + i) * rows + first) * 2, row_mask, units[i]);
    }
  }
}

void pack_rows(const bf16* in, int64_t stride, int64_t rows, int64_t columns, bf16* out) {
  for (int64_t r = 0; r < rows; r += 2) {
    const bf16* a = in + r * stride;
    const bf16* b = r + 1 < rows ? a + stride : nullptr;
    for (int64_t c = 0; c < columns; ++c) {
      out[(r / 2 * columns + c) * 2] = a[c];
      out[(r / 2 * columns + c) * 2 + 1] = b ? b[c] : bf16(0.f);
    }
  }
}

void transpose(const bf16* in, int64_t stride, int64_t rows, int64_t columns, bf16* out, int64_t out_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[c * out_stride + r] = in[r * stride + c];
  }
}

void softmax_tile(const float* s, int64_t s_stride, int64_t rows, int64_t columns, float scale, float* maximum, float* sum,
                  float* correction, bf16* p, int64_t p_stride) {
  const __m512 multiplier = _mm512_set1_ps(scale * log2e);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = s + r * s_stride;
    __m512 high = _mm512_set1_ps(-INFINITY);
    for (int64_t c = 0; c < columns; c += 16) {
      const __mmask16 mask = tail_mask(columns - c);
      high = _mm512_mask_max_ps(high, mask, high, _mm512_maskz_loadu_ps(mask, row + c));
    }
    const float before = maximum[r], now = std::max(before, _mm512_reduce_max_ps(high) * scale * log2e);
    const __m512 shift = _mm512_set1_ps(now);
    __m512 total = _mm512_setzero_ps();
    for (int64_t c = 0; c < columns; c += 16) {
      const __mmask16 mask = tail_mask(columns - c);
      const __m512 e = _mm512_maskz_mov_ps(mask, exp2_ps(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(mask, row + c), multiplier, shift)));
      total = _mm512_add_ps(total, e);
      store(p + r * p_stride + c, tail_mask(p_stride - c), e);
    }
    correction[r] = std::exp2(before - now);
    sum[r] = sum[r] * correction[r] + _mm512_reduce_add_ps(total);
    maximum[r] = now;
  }
}

void scale_rows(float* acc, int64_t rows, int64_t columns, const float* factor) {
  for (int64_t r = 0; r < rows; ++r) {
    if (factor[r] == 1.f) continue;
    const __m512 f = _mm512_set1_ps(factor[r]);
    float* row = acc + r * columns;
    for (int64_t c = 0; c < columns; c += 16) {
      const __mmask16 mask = tail_mask(columns - c);
      _mm512_mask_storeu_ps(row + c, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, row + c), f));
    }
  }
}

void backward_tile(const float* s, const float* dp, int64_t keys, int64_t queries, float scale, const float* lse, const float* delta,
                   bf16* p, bf16* ds, bf16* ds_pairs) {
  const __m512 multiplier = _mm512_set1_ps(scale * log2e), by = _mm512_set1_ps(scale);
  for (int64_t k = 0; k < keys; k += 2) {
    for (int64_t q = 0; q < queries; q += 16) {
      const __mmask16 mask = tail_mask(queries - q);
      const __m512 l = _mm512_maskz_loadu_ps(mask, lse + q), d = _mm512_maskz_loadu_ps(mask, delta + q);
      __m256i half[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      for (int64_t j = 0; j < 2 && k + j < keys; ++j) {
        const int64_t at = (k + j) * queries + q;
        const __m512 e = exp2_ps(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(mask, s + at), multiplier, l));
        const __m512 g = _mm512_mul_ps(_mm512_mul_ps(e, _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, dp + at), d)), by);
        store(p + at, mask, e);
        half[j] = to_bf16(g);
        _mm256_mask_storeu_epi16(ds + at, mask, half[j]);
      }
      const __m512i pair = _mm512_or_si512(_mm512_cvtepu16_epi32(half[0]), _mm512_slli_epi32(_mm512_cvtepu16_epi32(half[1]), 16));
      _mm512_mask_storeu_epi32(ds_pairs + (k / 2 * queries + q) * 2, mask, pair);
    }
  }
}

void store_rows(const float* acc, int64_t rows, int64_t columns, const float* factor, bf16* out, int64_t out_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    const __m512 f = _mm512_set1_ps(factor ? factor[r] : 1.f);
    for (int64_t c = 0; c < columns; c += 16) {
      const __mmask16 mask = tail_mask(columns - c);
      store(out + r * out_stride + c, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, acc + r * columns + c), f));
    }
  }
}

void store_transposed(const float* acc, int64_t rows, int64_t columns, bf16* out, int64_t out_stride) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) out[c * out_stride + r] = bf16(acc[r * columns + c]);
  }
}

void row_dot(const bf16* a, int64_t a_stride, const bf16* b, int64_t b_stride, int64_t rows, int64_t columns, float* out) {
  for (int64_t r = 0; r < rows; ++r) {
    __m512 total = _mm512_setzero_ps();
    for (int64_t c = 0; c < columns; c += 16) {
      const __mmask16 mask = tail_mask(columns - c);
      total = _mm512_fmadd_ps(load(a + r * a_stride + c, mask), load(b + r * b_stride + c, mask), total);
    }
    out[r] = _mm512_reduce_add_ps(total);
  }
}

}  // namespace palate::flash
