// What a UNet2DConditionModel makes of everything it is given beside the sample: one vector for the residual blocks, and the
// text states for the attentions.
#pragma once

#include "palate/models/denoiser.h"
#include "palate/models/unet/unet_config.h"
#include "palate/nn/text_time_embedding.h"

namespace palate {

class UnetEmbeddings {
 public:
  // Registers time_proj, time_embedding, encoder_hid_proj, class_embedding and add_embedding, as far as there are any, in `model`.
  UnetEmbeddings(torch::nn::Module& model, const UnetOptions& options);

  // t [] or [B] -> [B, options.time_width()]. UsageError for an input that this model needs, or cannot use.
  Tensor time(const Tensor& t, const Tensor& sample, const Condition& condition) const;
  Tensor text(const Tensor& sample, const Condition& condition) const;  // [B, L, options.context]

 private:
  Tensor steps(const Tensor& t) const;  // [B] -> [B, options.time.in], float32
  Tensor classes(const Condition& condition, c10::ScalarType dtype) const;
  Tensor addition(const Condition& condition, c10::ScalarType dtype) const;

  UnetOptions o_;
  std::shared_ptr<FourierTimesteps> time_proj_;
  std::shared_ptr<TimestepEmbedding> time_embedding_, class_embedding_, add_embedding_;
  std::shared_ptr<Embedding> class_table_;
  std::shared_ptr<Linear> class_projection_, encoder_hid_proj_;
  std::shared_ptr<TextTimeEmbedding> add_text_embedding_;
};

}  // namespace palate
