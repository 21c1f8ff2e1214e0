// Private to the AVX-512 translation units of nn/cpu/: sixteen numbers at a time, float32 in the registers whatever is in memory.
// They are compiled with flags that the rest of the program is not, so nothing here may be used elsewhere.
#pragma once

#include <c10/util/BFloat16.h>
#include <immintrin.h>

#include <cstdint>

namespace palate::avx512 {
namespace {

constexpr float log2e = 1.4426950408889634f;

inline __mmask16 tail_mask(int64_t left) { return left >= 16 ? __mmask16(0xFFFF) : __mmask16((1u << left) - 1); }

// 2^x for |x| < 2^15: x = n + f with f in [-1/2, 1/2], a fifth-degree polynomial for 2^f (relative error 2.4e-7 in float32), and one
// scaling instruction that also turns very negative x into 0.
inline __m512 exp2_ps(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(1.32764707e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.67554132e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.55071328e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.40221197e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.93146967e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.00000007f));
  return _mm512_scalef_ps(p, n);
}

inline __m256i to_bf16(__m512 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }
inline __m512 from_bf16(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }

inline __m512 load(const c10::BFloat16* p, __mmask16 mask) { return from_bf16(_mm256_maskz_loadu_epi16(mask, p)); }
inline __m512 load(const float* p, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, p); }
inline void store(c10::BFloat16* p, __mmask16 mask, __m512 x) { _mm256_mask_storeu_epi16(p, mask, to_bf16(x)); }
inline void store(float* p, __mmask16 mask, __m512 x) { _mm512_mask_storeu_ps(p, mask, x); }

}  // namespace
}  // namespace palate::avx512
