// What the rest of Palate sees of a variational autoencoder.
#pragma once

#include <memory>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace torch::nn {
class Module;
}

namespace palate {

struct Posterior {
  Tensor mean, logvar;  // [B, C, h, w]; logvar clamped to [-30, 20] as diffusers does
};

class Autoencoder {
 public:
  virtual ~Autoencoder() = default;
  virtual Posterior encode(const Tensor& pixels) = 0;  // [B, 3, H, W] in [-1, 1]; sides are rounded down to multiples of factor()
  virtual Tensor decode(const Tensor& latents) = 0;    // latents / scaling_factor -> [B, 3, H, W]
  virtual double scaling_factor() const = 0;           // UsageError for a model whose latents are shifted, too
  virtual int64_t factor() const = 0;                  // pixels per latent along one side
  virtual int64_t latent_channels() const = 0;
  virtual void arrange_weights() {}  // Denoiser::arrange_weights()
  virtual torch::nn::Module& module() = 0;
  virtual const Json& config() const = 0;
};

}  // namespace palate
