#include "palate/nn/resnet.h"

#include <torch/types.h>

#include <cmath>

namespace palate {

ResnetBlock2D::ResnetBlock2D(const ResnetOptions& o) : output_scale_(o.output_scale), time_shift_(o.time_shift), activation_(o.activation) {
  norm1_ = register_module("norm1", std::make_shared<GroupNorm>(o.groups, o.in, o.eps));
  conv1_ = register_module("conv1", std::make_shared<Conv2d>(o.in, o.out));
  if (o.time > 0)
    time_emb_proj_ = register_module("time_emb_proj", std::make_shared<Linear>(o.time, o.time_shift == TimeShift::add ? o.out : 2 * o.out));
  norm2_ = register_module("norm2", std::make_shared<GroupNorm>(o.groups, o.out, o.eps));
  conv2_ = register_module("conv2", std::make_shared<Conv2d>(o.out, o.out));
  if (o.in != o.out) {
    conv_shortcut_ =
        register_module("conv_shortcut", std::make_shared<Conv2d>(o.in, o.out, ConvGeometry{.kernel = 1, .stride = 1, .padding = 0}));
  }
}

Tensor ResnetBlock2D::forward(const Tensor& input, const Tensor& time) {
  Tensor x = conv1_->forward(norm1_->forward(input, activation_));
  const Tensor shift = time_emb_proj_ ? time_emb_proj_->forward(activate(time, activation_)).unsqueeze(-1).unsqueeze(-1)
                                      : Tensor();  // [B, out or 2 out, 1, 1]
  if (shift.defined() && time_shift_ == TimeShift::add) x = x + shift;
  if (shift.defined() && time_shift_ == TimeShift::scale_shift) {
    const auto halves = shift.chunk(2, 1);
    x = activate(norm2_->forward(x) * (1 + halves[0]) + halves[1], activation_);
  } else {
    x = norm2_->forward(x, activation_);
  }
  x = conv2_->forward(x);
  x = x + (conv_shortcut_ ? conv_shortcut_->forward(input) : input);
  return output_scale_ == 1 ? x : x / output_scale_;
}

Downsample2D::Downsample2D(int64_t channels, int64_t padding) : padding_(padding) {
  conv_ = register_module("conv", std::make_shared<Conv2d>(channels, channels, ConvGeometry{.kernel = 3, .stride = 2, .padding = padding}));
}

Tensor Downsample2D::forward(const Tensor& x) { return conv_->forward(padding_ == 0 ? torch::constant_pad_nd(x, {0, 1, 0, 1}) : x); }

Upsample2D::Upsample2D(int64_t channels) { conv_ = register_module("conv", std::make_shared<Conv2d>(channels, channels)); }

Tensor Upsample2D::forward(const Tensor& x, int64_t height, int64_t width) {
  const std::vector<int64_t> size = {height ? height : 2 * x.size(2), width ? width : 2 * x.size(3)};
  return conv_->forward(torch::upsample_nearest2d(x, size));
}

TimestepEmbedding::TimestepEmbedding(const TimestepEmbeddingOptions& o) : activation_(o.activation), last_(o.last) {
  linear_1_ = register_module("linear_1", std::make_shared<Linear>(o.in, o.width));
  if (o.condition > 0) cond_proj_ = register_module("cond_proj", std::make_shared<Linear>(o.condition, o.in, Bias::without));
  linear_2_ = register_module("linear_2", std::make_shared<Linear>(o.width, o.width));
}

Tensor TimestepEmbedding::forward(const Tensor& x, const Tensor& condition) {
  const Tensor in = condition.defined() ? x + cond_proj_->forward(condition) : x;
  const Tensor out = linear_2_->forward(activate(linear_1_->forward(in), activation_));
  return last_ ? activate(out, *last_) : out;
}

Tensor timestep_sinusoids(const Tensor& t, const SinusoidOptions& o) {
  const int64_t half = o.size / 2;
  const Tensor exponent = torch::arange(half, torch::TensorOptions().dtype(torch::kFloat32).device(t.device())) * -std::log(10000.0) /
                          (static_cast<double>(half) - o.freq_shift);
  const Tensor angles = t.to(torch::kFloat32).unsqueeze(1) * torch::exp(exponent).unsqueeze(0);  // [N, half]
  Tensor embedding =
      o.flip_sin_to_cos ? torch::cat({torch::cos(angles), torch::sin(angles)}, 1) : torch::cat({torch::sin(angles), torch::cos(angles)}, 1);
  return o.size % 2 ? torch::constant_pad_nd(embedding, {0, 1}) : embedding;
}

FourierTimesteps::FourierTimesteps(int64_t size, bool flip_sin_to_cos) : flip_sin_to_cos_(flip_sin_to_cos) {
  weight = register_parameter("weight", torch::empty({size / 2}), false);
}

Tensor FourierTimesteps::forward(const Tensor& t) {
  // Multiplied in this order: the angles are large, and another order rounds to other angles.
  const Tensor angles = t.to(torch::kFloat32).unsqueeze(1) * weight.detach().to(torch::kFloat32).unsqueeze(0) * 2 * M_PI;  // [N, size / 2]
  return flip_sin_to_cos_ ? torch::cat({torch::cos(angles), torch::sin(angles)}, 1)
                          : torch::cat({torch::sin(angles), torch::cos(angles)}, 1);
}

}  // namespace palate
