// What the rest of Palate sees of a denoising network.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

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
  // The activations inside that forward pass which leave each of `taps`, in their order: [B, C', H', W'], before any pooling or
  // normalisation. Computed in x_t's dtype, to which each weight is brought where it is held in another. A tap is the network's own name of
  // a block. U-Net: "conv_in", "down_blocks.0" ..., "down_blocks" (the last of them: where Noise-Conditioned Perception, arXiv 2406.17636,
  // takes its features), "mid_block", "up_blocks.0" ... Nothing behind the deepest tap is run. Gradients reach x_t and the weights as in
  // predict(). UsageError for a model without features, an unknown tap, or no tap.
  virtual std::vector<Tensor> features(const Tensor& x_t, const Tensor& t, const Condition& condition,
                                       const std::vector<std::string>& taps);

  virtual torch::nn::Module& module() = 0;                           // parameters by diffusers' names
  virtual const Json& config() const = 0;                            // the folder's config.json as read
  virtual int64_t latent_channels() const = 0;                       // of the prediction, and of the latents that are noised
  virtual int64_t in_channels() const { return latent_channels(); }  // of x_t: more where a mask or a picture is given beside the latents
  virtual int64_t sample_size() const = 0;                           // latent side that the model was made for
  virtual int64_t text_width() const = 0;                            // width of encoder_hidden_states; 0: the model reads no text
  virtual void set_gradient_checkpointing(bool on) = 0;
  // Once, when the weights are all there and frozen, as the loader does: into the order in memory that this model is fastest in, where that
  // is not the plain one. Names and numbers stay; predict() then works in that order.
  virtual void arrange_weights() {}
};

}  // namespace palate
