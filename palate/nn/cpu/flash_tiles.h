// The vector loops of the CPU attention kernel: what happens between two matrix products. One translation unit,
// compiled for AVX-512 with bf16; callers ask avx512_bf16_supported() first.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace palate::flash {

using bf16 = c10::BFloat16;

// in [rows, columns] (row stride `stride`) -> pairs of columns as one unit, transposed: out [columns / 2][rows][2].
// That is the VNNI form of in^T, where in^T is the right operand [columns, rows]. columns is even.
void pack_transposed(const bf16* in, int64_t stride, int64_t rows, int64_t columns, bf16* out);

// in [rows, columns] -> VNNI form of in as the right operand: out [rows_even / 2][columns][2]; an odd last row is
// paired with zeros.
void pack_rows(const bf16* in, int64_t stride, int64_t rows, int64_t columns, bf16* out);

// in [rows, columns] -> out [columns, rows], plain.
void transpose(const bf16* in, int64_t stride, int64_t rows, int64_t columns, bf16* out, int64_t out_stride);

// Forward, one tile of scores s [rows, columns] (unscaled): running maximum and sum of each row are brought up to date,
// p = exp(scale * s - max) in bf16, and `correction` gets the factor for what was accumulated before.
// p's stride is even; columns beyond `columns` up to an even number are set to 0.
void softmax_tile(const float* s, int64_t s_stride, int64_t rows, int64_t columns, float scale, float* maximum, float* sum,
                  float* correction, bf16* p, int64_t p_stride);

// acc[r, :] *= factor[r]
void scale_rows(float* acc, int64_t rows, int64_t columns, const float* factor);

// Backward, one transposed tile [keys, queries] of scores and of dP. With lse and delta per query:
//   p = exp(scale * s - lse), ds = p * (dp - delta) * scale
// p and ds go out plain in bf16 (stride queries), ds also as VNNI pairs of keys: ds_pairs [keys_even / 2][queries][2].
void backward_tile(const float* s, const float* dp, int64_t keys, int64_t queries, float scale, const float* lse, const float* delta,
                   bf16* p, bf16* ds, bf16* ds_pairs);

// out (bf16, strided rows) = acc[rows, columns] * factor[row]; factor may be null.
void store_rows(const float* acc, int64_t rows, int64_t columns, const float* factor, bf16* out, int64_t out_stride);

// out[q, d] (bf16, strided) = acc[d, q]
void store_transposed(const float* acc, int64_t rows, int64_t columns, bf16* out, int64_t out_stride);

// sum over columns of a * b, each row: delta of the backward.
void row_dot(const bf16* a, int64_t a_stride, const bf16* b, int64_t b_stride, int64_t rows, int64_t columns, float* out);

}  // namespace palate::flash
