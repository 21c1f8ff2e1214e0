// The loops of fused_geglu.h over rows. One translation unit, compiled for AVX-512 with bf16; callers ask avx512_bf16_supported() first.
// T is bf16 or float; what is in between is float32.
#pragma once

#include <cstdint>

namespace palate::rows {

// h [rows, 2 * width] = [a | b]: y = a * gelu(b), with the error function.
template <class T>
void geglu(const T* h, T* y, int64_t rows, int64_t width);
// dh [rows, 2 * width] from g [rows, width].
template <class T>
void geglu_backward(const T* h, const T* g, T* dh, int64_t rows, int64_t width);

}  // namespace palate::rows
