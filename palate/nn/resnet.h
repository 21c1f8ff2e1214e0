// diffusers' ResnetBlock2D, Downsample2D, Upsample2D and the timestep embedding.
#pragma once

#include <optional>

#include "palate/nn/activation.h"
#include "palate/nn/layers.h"

namespace palate {

// How the time embedding enters: added, or as a scale and a shift after the second norm.
enum class TimeShift { add, scale_shift };

struct ResnetOptions {
  int64_t in = 0, out = 0, time = 0;  // time 0: no time embedding
  int64_t groups = 32;
  double eps = 1e-5;
  double output_scale = 1;
  TimeShift time_shift = TimeShift::add;
  Activation activation = Activation::silu;
};

class ResnetBlock2D : public torch::nn::Module {
 public:
  explicit ResnetBlock2D(const ResnetOptions& options);
  Tensor forward(const Tensor& x, const Tensor& time);  // [B, in, H, W], [B, time] or undefined -> [B, out, H, W]

 private:
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, conv_shortcut_;
  std::shared_ptr<Linear> time_emb_proj_;
  double output_scale_;
  TimeShift time_shift_;
  Activation activation_;
};

// Half the size. Padding 0 pads right and below by one first, as the autoencoder does.
class Downsample2D : public torch::nn::Module {
 public:
  Downsample2D(int64_t channels, int64_t padding);
  Tensor forward(const Tensor& x);

 private:
  std::shared_ptr<Conv2d> conv_;
  int64_t padding_;
};

// Nearest neighbour to twice the size, or to [height, width] when they are not 0, then a convolution.
class Upsample2D : public torch::nn::Module {
 public:
  explicit Upsample2D(int64_t channels);
  Tensor forward(const Tensor& x, int64_t height = 0, int64_t width = 0);

 private:
  std::shared_ptr<Conv2d> conv_;
};

struct TimestepEmbeddingOptions {
  int64_t in = 0, width = 0;
  int64_t condition = 0;  // width of what a distilled model is told beside the timestep (its guidance); 0: nothing
  Activation activation = Activation::silu;
  std::optional<Activation> last = std::nullopt;  // after the second layer
};

class TimestepEmbedding : public torch::nn::Module {
 public:
  explicit TimestepEmbedding(const TimestepEmbeddingOptions& options);
  Tensor forward(const Tensor& x, const Tensor& condition = {});  // [B, in], [B, condition] or undefined -> [B, width]

 private:
  std::shared_ptr<Linear> linear_1_, cond_proj_, linear_2_;
  Activation activation_;
  std::optional<Activation> last_;
};

// Sinusoids of t [N] -> [N, size] float32 (diffusers' get_timestep_embedding with max_period 10000).
struct SinusoidOptions {
  int64_t size = 320;
  bool flip_sin_to_cos = true;
  double freq_shift = 0;
};
Tensor timestep_sinusoids(const Tensor& t, const SinusoidOptions& options);

// diffusers' GaussianFourierProjection without its logarithm: fixed random frequencies instead of a geometric series.
class FourierTimesteps : public torch::nn::Module {
 public:
  FourierTimesteps(int64_t size, bool flip_sin_to_cos);
  Tensor forward(const Tensor& t);  // [N] -> [N, size], float32
  Tensor weight;                    // [size / 2], never trained

 private:
  bool flip_sin_to_cos_;
};

}  // namespace palate
