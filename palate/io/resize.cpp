// Pillow's resampling (src/libImaging/Resample.c): separable, two passes, the result of each pass clipped to uint8.
// Coefficients are computed in double and held as 32-bit fixed point; the order of operations is Pillow's, so that bits agree.
#include <algorithm>
#include <cmath>

#include "palate/io/image.h"
#include "palate/io/image_codecs.h"

namespace palate {
namespace {

constexpr int precision = 32 - 8 - 2;  // two bits of room for filters that overshoot

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double bicubic(double x) {  // Keys, 1981, a = -1/2
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x = x * M_PI;
  return std::sin(x) / x;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
  double (*weight)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::bilinear:
      return {bilinear, 1.0};
    case Filter::bicubic:
      return {bicubic, 2.0};
    case Filter::lanczos:
      break;
  }
  return {lanczos, 3.0};
}

struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

// For each output position: the inputs that it is a weighted sum of.
std::vector<Taps> taps_of(int64_t in_size, int64_t out_size, const Kernel& kernel) {
  const double scale = static_cast<double>(static_cast<float>(in_size)) / static_cast<double>(out_size);
  const double stretch = std::max(scale, 1.0);  // downscaling widens the filter: antialiasing
  const double support = kernel.support * stretch, shrink = 1.0 / stretch;
  std::vector<Taps> all(static_cast<size_t>(out_size));
  std::vector<double> weights;
  for (int64_t i = 0; i < out_size; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const auto last = std::min<int64_t>(static_cast<int64_t>(center + support + 0.5), in_size);
    double sum = 0.0;
    weights.clear();
    for (int64_t x = 0; x < last - first; ++x) {
      weights.push_back(kernel.weight((static_cast<double>(x + first) - center + 0.5) * shrink));
      sum += weights.back();
    }
    auto& taps = all[static_cast<size_t>(i)];
    taps.first = first;
    for (double w : weights) {
      if (sum != 0.0) w /= sum;
      taps.weights.push_back(static_cast<int32_t>((w < 0 ? -0.5 : 0.5) + w * (1 << precision)));
    }
  }
  return all;
}

uint8_t clipped(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255)); }

void across(const uint8_t* in, int64_t height, int64_t in_width, uint8_t* out, int64_t out_width, const std::vector<Taps>& taps) {
  for (int64_t y = 0; y < height; ++y, in += in_width, out += out_width) {
    for (int64_t x = 0; x < out_width; ++x) {
      const auto& tap = taps[static_cast<size_t>(x)];
      const uint8_t* from = in + tap.first;
      int32_t sum = 1 << (precision - 1);
      for (size_t k = 0; k < tap.weights.size(); ++k) sum += from[k] * tap.weights[k];
      out[x] = clipped(sum);
    }
  }
}

void down(const uint8_t* in, int64_t width, uint8_t* out, int64_t out_height, const std::vector<Taps>& taps) {
  std::vector<int32_t> sums(static_cast<size_t>(width));
  for (int64_t y = 0; y < out_height; ++y, out += width) {
    const auto& tap = taps[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), 1 << (precision - 1));
    for (size_t k = 0; k < tap.weights.size(); ++k) {
      const uint8_t* from = in + (tap.first + static_cast<int64_t>(k)) * width;
      const int32_t weight = tap.weights[k];
      for (size_t x = 0; x < sums.size(); ++x) sums[x] += from[x] * weight;
    }
    for (size_t x = 0; x < sums.size(); ++x) out[x] = clipped(sums[x]);
  }
}

}  // namespace

void resize_plane(const uint8_t* in, int64_t in_height, int64_t in_width, uint8_t* out, int64_t out_height, int64_t out_width,
                  Filter filter) {
  const Kernel kernel = kernel_of(filter);
  std::vector<uint8_t> between;
  // Pillow's rule since 13: much less height is worth taking off first. The order shows, because the first pass rounds.
  if (in_height > out_height && in_height - out_height > 2 * (in_width - out_width)) {
    uint8_t* to = out;
    if (in_width != out_width) {
      between.resize(static_cast<size_t>(out_height * in_width));
      to = between.data();
    }
    down(in, in_width, to, out_height, taps_of(in_height, out_height, kernel));
    if (in_width != out_width) across(to, out_height, in_width, out, out_width, taps_of(in_width, out_width, kernel));
    return;
  }
  if (in_width != out_width) {
    between.resize(static_cast<size_t>(in_height * out_width));
    across(in, in_height, in_width, between.data(), out_width, taps_of(in_width, out_width, kernel));
    in = between.data();
  }
  if (in_height != out_height) {
    down(in, out_width, out, out_height, taps_of(in_height, out_height, kernel));
  } else {
    std::copy(in, in + out_height * out_width, out);
  }
}

}  // namespace palate
