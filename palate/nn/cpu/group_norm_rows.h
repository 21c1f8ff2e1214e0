// The loops of frozen_group_norm.h over rows of channels (channels-last memory). One translation unit, compiled for AVX-512 with bf16;
// callers ask avx512_bf16_supported() first. T is bf16 or float; sums are float32.
#pragma once

#include <cstdint>

namespace palate::rows {

// One pass over x [rows, channels]: sums[c] += x - shift[c] and squares[c] += (x - shift[c])^2.
template <class T>
void shifted_sums(const T* x, int64_t rows, int64_t channels, const float* shift, float* sums, float* squares);

// y = a(x * scale[c] + offset[c]), a is SiLU or nothing.
template <class T>
void scale_offset(const T* x, T* y, int64_t rows, int64_t channels, const float* scale, const float* offset, bool silu);

// dz = g * a'(x * scale[c] + offset[c]), and sums[c] += dz, products[c] += dz * (x - mean[c]).
template <class T>
void activation_backward(const T* x, const T* g, T* dz, int64_t rows, int64_t channels, const float* scale, const float* offset,
                         const float* mean, bool silu, float* sums, float* products);

// dx = dz * scale[c] + (x - mean[c]) * slope[c] + constant[c], in place of dz.
template <class T>
void norm_backward(const T* x, T* dz, int64_t rows, int64_t channels, const float* scale, const float* mean, const float* slope,
                   const float* constant);

}  // namespace palate::rows
