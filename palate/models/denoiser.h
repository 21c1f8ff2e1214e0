// What the rest of Palate sees of a denoising network.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "palate/core/tensor.h"
#include "palate/io/json.h"
#include "palate/models/condition.h"

namespace torch::nn {
class Module;
}

namespace palate {

class Denoiser {
 public:
  virtual ~Denoiser() = default;
  // x_t [B, C, H, W], t [B] (integer or float32) -> the network's own prediction (epsilon, v or sample), same shape as
  // x_t, in the compute dtype.
  virtual Tensor predict(const Tensor& x_t, const Tensor& t, const Condition& condition) = 0;

  virtual torch::nn::Module& module() = 0;  // parameters by diffusers' names
  virtual const Json& config() const = 0;   // the folder's config.json as read
  virtual int64_t latent_channels() const = 0;
  virtual int64_t sample_size() const = 0;  // latent side that the model was made for
  virtual int64_t text_width() const = 0;   // width of encoder_hidden_states; 0: the model reads no text
  virtual void set_gradient_checkpointing(bool on) = 0;
};

}  // namespace palate
