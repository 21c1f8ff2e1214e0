#include "palate/nn/cpu/frozen_group_norm.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

#include "palate/nn/cpu/dispatch.h"
#include "palate/nn/cpu/group_norm_rows.h"

namespace palate {
namespace {

using Floats = std::vector<float>;

// Samples are cut into pieces of a few hundred pixels: a piece stays in the second-level cache, its float32 sums are short,
// and they are added in double in the same order whatever the number of threads.
constexpr int64_t piece = 256;

struct Sizes {
  int64_t batch, channels, pixels, groups, pieces;
  Sizes(const Tensor& x, int64_t g)
      : batch(x.size(0)), channels(x.size(1)), pixels(x.size(2) * x.size(3)), groups(g), pieces((pixels + piece - 1) / piece) {}
  int64_t width() const { return channels / groups; }
  double count() const { return static_cast<double>(width() * pixels); }
  // use(sample, piece of all pieces, first element, rows)
  template <class Use>
  void each_piece(const Use& use) const {
    at::parallel_for(0, batch * pieces, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t row = i % pieces * piece;
        use(i / pieces, i, (i / pieces * pixels + row) * channels, std::min(piece, pixels - row));
      }
    });
  }
};

// The affine map of each sample's channels, [batch * channels] each; mean is the group's.
struct Constants {
  Floats scale, offset, mean;
  explicit Constants(const Sizes& n) : scale(size(n)), offset(size(n)), mean(size(n)) {}
  static size_t size(const Sizes& n) { return static_cast<size_t>(n.batch * n.channels); }
};

Constants constants(const Sizes& n, const Tensor& mean, const Tensor& rstd, const Tensor& weight, const Tensor& bias) {
  Constants k(n);
  const float *m = mean.data_ptr<float>(), *r = rstd.data_ptr<float>(), *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
  for (int64_t i = 0; i < n.batch * n.channels; ++i) {
    const int64_t c = i % n.channels, group = i / n.channels * n.groups + c / n.width();
    const auto at = static_cast<size_t>(i);
    k.mean[at] = m[group];
    k.scale[at] = r[group] * w[c];
    k.offset[at] = b[c] - m[group] * k.scale[at];
  }
  return k;
}

// Sums over the pieces of a sample, in double: [batch * channels].
std::vector<double> over_pieces(const Sizes& n, const Floats& parts) {
  std::vector<double> total(static_cast<size_t>(n.batch * n.channels), 0.0);
  for (int64_t i = 0; i < n.batch * n.pieces; ++i) {
    for (int64_t c = 0; c < n.channels; ++c)
      total[static_cast<size_t>(i / n.pieces * n.channels + c)] += static_cast<double>(parts[static_cast<size_t>(i * n.channels + c)]);
  }
  return total;
}

Floats first_pixels(const Sizes& n, const Tensor& x) {
  const Tensor first =
      x.detach().permute({0, 2, 3, 1}).reshape({n.batch, n.pixels, n.channels}).select(1, 0).to(torch::kFloat32).contiguous();
  return {first.data_ptr<float>(), first.data_ptr<float>() + first.numel()};
}

// Sums are taken about each channel's first pixel, so that a mean far from zero does not swallow the variance.
template <class T>
void statistics(const Sizes& n, const Tensor& x, double eps, const Tensor& mean, const Tensor& rstd) {
  const Floats shift = first_pixels(n, x);
  Floats sums(static_cast<size_t>(n.batch * n.pieces * n.channels), 0.f), squares = sums;
  n.each_piece([&](int64_t sample, int64_t part, int64_t first, int64_t rows) {
    rows::shifted_sums(x.data_ptr<T>() + first, rows, n.channels, shift.data() + sample * n.channels, sums.data() + part * n.channels,
                       squares.data() + part * n.channels);
  });
  const auto sum = over_pieces(n, sums), square = over_pieces(n, squares);
  const auto pixels = static_cast<double>(n.pixels);
  for (int64_t g = 0; g < n.batch * n.groups; ++g) {
    const auto begin = static_cast<size_t>(g * n.width()), end = begin + static_cast<size_t>(n.width());
    double centre = 0, spread = 0;
    for (size_t i = begin; i < end; ++i) centre += (static_cast<double>(shift[i]) + sum[i] / pixels) / static_cast<double>(n.width());
    for (size_t i = begin; i < end; ++i) {
      const double own = static_cast<double>(shift[i]) + sum[i] / pixels - centre;
      spread += square[i] - sum[i] * sum[i] / pixels + pixels * own * own;
    }
    mean.data_ptr<float>()[g] = static_cast<float>(centre);
    rstd.data_ptr<float>()[g] = static_cast<float>(1 / std::sqrt(std::max(spread, 0.0) / n.count() + eps));
  }
}

template <class T>
void run_forward(const Sizes& n, const Tensor& x, const Tensor& weight, const Tensor& bias, const FrozenGroupNormOptions& o,
                 const Tensor& mean, const Tensor& rstd, const Tensor& y) {
  statistics<T>(n, x, o.eps, mean, rstd);
  const Constants k = constants(n, mean, rstd, weight, bias);
  n.each_piece([&](int64_t sample, int64_t, int64_t first, int64_t rows) {
    const int64_t c = sample * n.channels;
    rows::scale_offset(x.data_ptr<T>() + first, y.data_ptr<T>() + first, rows, n.channels, k.scale.data() + c, k.offset.data() + c, o.silu);
  });
}

// dx = rstd (w dz - mean(w dz) - xhat mean(w dz xhat)), means over the group.
template <class T>
void run_backward(const Sizes& n, const Tensor& x, const Tensor& g, const Tensor& weight, const Tensor& bias, bool silu, const Tensor& mean,
                  const Tensor& rstd, const Tensor& dx) {
  const Constants k = constants(n, mean, rstd, weight, bias);
  Floats sums(static_cast<size_t>(n.batch * n.pieces * n.channels), 0.f), products = sums;
  n.each_piece([&](int64_t sample, int64_t part, int64_t first, int64_t rows) {
    const int64_t c = sample * n.channels;
    rows::activation_backward(x.data_ptr<T>() + first, g.data_ptr<T>() + first, dx.data_ptr<T>() + first, rows, n.channels,
                              k.scale.data() + c, k.offset.data() + c, k.mean.data() + c, silu, sums.data() + part * n.channels,
                              products.data() + part * n.channels);
  });
  const auto sum = over_pieces(n, sums), product = over_pieces(n, products);
  Floats slope(k.mean.size()), constant(k.mean.size());
  for (int64_t group = 0; group < n.batch * n.groups; ++group) {
    const auto begin = static_cast<size_t>(group * n.width()), end = begin + static_cast<size_t>(n.width());
    const double r = rstd.data_ptr<float>()[group];
    double first = 0, second = 0;  // rstd times the two sums
    for (size_t i = begin; i < end; ++i) {
      first += static_cast<double>(k.scale[i]) * sum[i];
      second += static_cast<double>(k.scale[i]) * product[i];
    }
    std::fill(slope.begin() + static_cast<ptrdiff_t>(begin), slope.begin() + static_cast<ptrdiff_t>(end),
              static_cast<float>(-r * r * second / n.count()));
    std::fill(constant.begin() + static_cast<ptrdiff_t>(begin), constant.begin() + static_cast<ptrdiff_t>(end),
              static_cast<float>(-first / n.count()));
  }
  n.each_piece([&](int64_t sample, int64_t, int64_t first, int64_t rows) {
    const int64_t c = sample * n.channels;
    rows::norm_backward(x.data_ptr<T>() + first, dx.data_ptr<T>() + first, rows, n.channels, k.scale.data() + c, k.mean.data() + c,
                        slope.data() + c, constant.data() + c);
  });
}

struct Result {
  Tensor y, mean, rstd;
};

Result compute(const Tensor& x, const Tensor& weight, const Tensor& bias, const FrozenGroupNormOptions& o) {
  const Sizes n(x, o.groups);
  const auto statistic = x.options().dtype(torch::kFloat32);
  Result out{torch::empty_like(x), torch::empty({n.batch, n.groups}, statistic, torch::MemoryFormat::Contiguous),
             torch::empty({n.batch, n.groups}, statistic, torch::MemoryFormat::Contiguous)};
  for_dtype(x, [&](auto type) { run_forward<decltype(type)>(n, x, weight, bias, o, out.mean, out.rstd, out.y); });
  return out;
}

struct FrozenGroupNorm : torch::autograd::Function<FrozenGroupNorm> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const FrozenGroupNormOptions& o) {
    const Result result = compute(x, weight, bias, o);
    context->save_for_backward({x, weight, bias, result.mean, result.rstd});
    context->saved_data["groups"] = o.groups;
    context->saved_data["silu"] = o.silu;
    return result.y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor g = gradients[0].to(x.scalar_type()).contiguous(torch::MemoryFormat::ChannelsLast), dx = torch::empty_like(x);
    const Sizes n(x, context->saved_data["groups"].toInt());
    const bool silu = context->saved_data["silu"].toBool();
    for_dtype(x, [&](auto type) { run_backward<decltype(type)>(n, x, g, saved[1], saved[2], silu, saved[3], saved[4], dx); });
    return {dx, Tensor(), Tensor(), Tensor()};
  }
};

// A group of a few numbers has hardly any variance, and 1/sqrt(eps) blows rounding up: libtorch's own rounding is what others get.
constexpr int64_t smallest_group = 32;

}  // namespace

bool frozen_group_norm_supported() {
  static const bool supported = avx512_bf16_supported();
  return supported;
}

bool is_frozen(const Tensor& parameter) { return !parameter.requires_grad() || !torch::GradMode::is_enabled(); }

bool frozen_group_norm_serves(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups) {
  return frozen_group_norm_supported() && x.is_cpu() && x.dim() == 4 && x.numel() > 0 && x.numel() >= smallest_group * x.size(0) * groups &&
         x.is_contiguous(torch::MemoryFormat::ChannelsLast) && is_frozen(weight) && is_frozen(bias) && is_bf16_or_float32(x);
}

Tensor frozen_group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const FrozenGroupNormOptions& o) {
  const Tensor w = weight.detach().to(torch::kFloat32).contiguous(), b = bias.detach().to(torch::kFloat32).contiguous();
  return x.requires_grad() && torch::GradMode::is_enabled() ? FrozenGroupNorm::apply(x, w, b, o) : compute(x, w, b, o).y;
}

}  // namespace palate
