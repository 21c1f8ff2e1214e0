#include "palate/nn/cpu/group_norm_rows.h"

#include "palate/nn/cpu/avx512.h"

namespace palate::rows {
namespace {

using namespace avx512;

inline __m512 sigmoid(__m512 z) {
  const __m512 e = exp2_ps(_mm512_mul_ps(z, _mm512_set1_ps(-log2e)));
  return _mm512_div_ps(_mm512_set1_ps(1.f), _mm512_add_ps(_mm512_set1_ps(1.f), e));
}

}  // namespace

template <class T>
void shifted_sums(const T* x, int64_t rows, int64_t channels, const float* shift, float* sums, float* squares) {
  for (int64_t c = 0; c < channels; c += 16) {
    const __mmask16 mask = tail_mask(channels - c);
    const __m512 by = load(shift + c, mask);
    __m512 sum = load(sums + c, mask), square = load(squares + c, mask);
    for (int64_t r = 0; r < rows; ++r) {
      const __m512 d = _mm512_sub_ps(load(x + r * channels + c, mask), by);
      sum = _mm512_add_ps(sum, d);
      square = _mm512_fmadd_ps(d, d, square);
    }
    store(sums + c, mask, sum);
    store(squares + c, mask, square);
  }
}

template <class T>
void scale_offset(const T* x, T* y, int64_t rows, int64_t channels, const float* scale, const float* offset, bool silu) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += 16) {
      const __mmask16 mask = tail_mask(channels - c);
      __m512 z = _mm512_fmadd_ps(load(x + r * channels + c, mask), load(scale + c, mask), load(offset + c, mask));
      if (silu) z = _mm512_mul_ps(z, sigmoid(z));
      store(y + r * channels + c, mask, z);
    }
  }
}

template <class T>
void activation_backward(const T* x, const T* g, T* dz, int64_t rows, int64_t channels, const float* scale, const float* offset,
                         const float* mean, bool silu, float* sums, float* products) {
  const __m512 one = _mm512_set1_ps(1.f);
  for (int64_t c = 0; c < channels; c += 16) {
    const __mmask16 mask = tail_mask(channels - c);
    const __m512 a = load(scale + c, mask), b = load(offset + c, mask), m = load(mean + c, mask);
    __m512 sum = load(sums + c, mask), product = load(products + c, mask);
    for (int64_t r = 0; r < rows; ++r) {
      const __m512 value = load(x + r * channels + c, mask);
      __m512 d = load(g + r * channels + c, mask);
      if (silu) {
        const __m512 z = _mm512_fmadd_ps(value, a, b), s = sigmoid(z);
        d = _mm512_mul_ps(_mm512_mul_ps(d, s), _mm512_fmadd_ps(z, _mm512_sub_ps(one, s), one));
      }
      store(dz + r * channels + c, mask, d);
      sum = _mm512_add_ps(sum, d);
      product = _mm512_fmadd_ps(d, _mm512_sub_ps(value, m), product);
    }
    store(sums + c, mask, sum);
    store(products + c, mask, product);
  }
}

template <class T>
void norm_backward(const T* x, T* dz, int64_t rows, int64_t channels, const float* scale, const float* mean, const float* slope,
                   const float* constant) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += 16) {
      const __mmask16 mask = tail_mask(channels - c);
      const __m512 centred = _mm512_sub_ps(load(x + r * channels + c, mask), load(mean + c, mask));
      const __m512 rest = _mm512_fmadd_ps(centred, load(slope + c, mask), load(constant + c, mask));
      T* at = dz + r * channels + c;
      store(at, mask, _mm512_fmadd_ps(load(at, mask), load(scale + c, mask), rest));
    }
  }
}

#define PALATE_GROUP_NORM_ROWS(T)                                                                                                        \
  template void shifted_sums<T>(const T*, int64_t, int64_t, const float*, float*, float*);                                               \
  template void scale_offset<T>(const T*, T*, int64_t, int64_t, const float*, const float*, bool);                                       \
  template void activation_backward<T>(const T*, const T*, T*, int64_t, int64_t, const float*, const float*, const float*, bool, float*, \
                                       float*);                                                                                          \
  template void norm_backward<T>(const T*, T*, int64_t, int64_t, const float*, const float*, const float*, const float*);
PALATE_GROUP_NORM_ROWS(float)
PALATE_GROUP_NORM_ROWS(c10::BFloat16)
#undef PALATE_GROUP_NORM_ROWS

}  // namespace palate::rows
