// The loops of GroupNorm with SiLU and of GEGLU on the CPU, over rows of channels (channels-last memory). One translation
// unit, compiled for AVX-512 with bf16; callers ask flash::tiles_supported() first. T is bf16 or float; sums are float32.
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

// h [rows, 2 * width] = [a | b]: y = a * gelu(b), with the error function.
template <class T>
void geglu(const T* h, T* y, int64_t rows, int64_t width);
// dh [rows, 2 * width] from g [rows, width].
template <class T>
void geglu_backward(const T* h, const T* g, T* dh, int64_t rows, int64_t width);

}  // namespace palate::rows
