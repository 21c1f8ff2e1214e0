// What the rest of Palate sees of a vision encoder.
#pragma once

#include <memory>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace torch::nn {
class Module;
}

namespace palate {

struct VisionStates {
  Tensor last_hidden_state;           // [B, 1 + patches, D], before the final layer norm
  Tensor pooler_output;               // [B, D], of the class token, after it
  Tensor image_embeds;                // [B, P] for a model with projection, else undefined
  std::vector<Tensor> hidden_states;  // embeddings, then the output of each layer; layers + 1 of them
};

class VisionEncoder {
 public:
  virtual ~VisionEncoder() = default;
  // [B, channels, image_size(), image_size()], normalised. UsageError for another size.
  virtual VisionStates encode(const Tensor& pixel_values) = 0;
  virtual int64_t image_size() const = 0;
  virtual torch::nn::Module& module() = 0;
  virtual const Json& config() const = 0;
};

}  // namespace palate
