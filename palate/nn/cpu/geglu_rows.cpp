#include "palate/nn/cpu/geglu_rows.h"

#include "palate/nn/cpu/avx512.h"

namespace palate::rows {
namespace {

using namespace avx512;

// The normal distribution's density and its integral at b: Abramowitz and Stegun 7.1.26, within 7.5e-8 of the truth.
struct Normal {
  __m512 density, below;
  explicit Normal(__m512 b) {
    const __m512 one = _mm512_set1_ps(1.f), x = _mm512_mul_ps(_mm512_abs_ps(b), _mm512_set1_ps(0.70710678f));
    const __m512 e = exp2_ps(_mm512_mul_ps(_mm512_mul_ps(b, b), _mm512_set1_ps(-0.5f * log2e)));
    const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(x, _mm512_set1_ps(0.3275911f), one));
    __m512 p = _mm512_set1_ps(1.061405429f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
    const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(p, t), e), _mm512_set1_ps(0.5f));
    below = _mm512_mask_sub_ps(tail, _mm512_cmp_ps_mask(b, _mm512_setzero_ps(), _CMP_GE_OQ), one, tail);
    density = _mm512_mul_ps(e, _mm512_set1_ps(0.39894228f));
  }
};

}  // namespace

template <class T>
void geglu(const T* h, T* y, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * width, y += width) {
    for (int64_t c = 0; c < width; c += 16) {
      const __mmask16 mask = tail_mask(width - c);
      const __m512 b = load(h + width + c, mask);
      store(y + c, mask, _mm512_mul_ps(load(h + c, mask), _mm512_mul_ps(b, Normal(b).below)));
    }
  }
}

template <class T>
void geglu_backward(const T* h, const T* g, T* dh, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * width, dh += 2 * width, g += width) {
    for (int64_t c = 0; c < width; c += 16) {
      const __mmask16 mask = tail_mask(width - c);
      const __m512 d = load(g + c, mask), b = load(h + width + c, mask);
      const Normal normal(b);
      store(dh + c, mask, _mm512_mul_ps(d, _mm512_mul_ps(b, normal.below)));
      const __m512 slope = _mm512_fmadd_ps(b, normal.density, normal.below);
      store(dh + width + c, mask, _mm512_mul_ps(_mm512_mul_ps(d, load(h + c, mask)), slope));
    }
  }
}

#define PALATE_GEGLU_ROWS(T)                              \
  template void geglu<T>(const T*, T*, int64_t, int64_t); \
  template void geglu_backward<T>(const T*, const T*, T*, int64_t, int64_t);
PALATE_GEGLU_ROWS(float)
PALATE_GEGLU_ROWS(c10::BFloat16)
#undef PALATE_GEGLU_ROWS

}  // namespace palate::rows
