// What the rest of Palate sees of a denoising network.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace torch::nn {
class Module;
}

namespace palate {

// What a prediction is conditioned on, one row a sample.
struct Condition {
  Tensor text;                         // encoder_hidden_states [B, L, D]
  Tensor text_embeds;                  // SDXL: pooled text [B, P]; else undefined
  Tensor time_ids;                     // SDXL: [B, 6]; else undefined
  Tensor class_labels = {};            // models with a class embedding: [B], or [B, P] for a projection
  Tensor timestep_cond = {};           // distilled models (LCM): the guidance's embedding [B, time_cond_proj_dim]
  Tensor attention_mask = {};          // over the keys of each block's first attention [B, keys], 1 keep, 0 discard
  Tensor encoder_attention_mask = {};  // over the text states [B, L]
};
Condition concat_conditions(const Condition& a, const Condition& b);  // along the batch

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
  virtual int64_t text_width() const = 0;   // D of Condition::text; 0: the model reads no text
  virtual void set_gradient_checkpointing(bool on) = 0;
};

}  // namespace palate
