// Layers that an adapter (LoRA) can hang on. The layer calls its adapters after its own product; with adapters off it is
// the base model to the bit, which is how the reference policy costs no second copy of the weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

class Adapter {
 public:
  virtual ~Adapter() = default;
  // What to add to the layer's output. `input` is what the layer was given, in the compute dtype.
  virtual Tensor delta(const Tensor& input) = 0;
};

// Base of Linear and Conv2d (nn/layers.h).
class Adaptable {
 public:
  virtual ~Adaptable() = default;
  std::vector<std::shared_ptr<Adapter>> adapters;

  virtual Tensor& base_weight() = 0;  // [out, in] or [out, in, kh, kw]
  // Convolution only: the product with another weight of the same geometry (for LoRA's down projection).
  virtual Tensor with_weight(const Tensor& input, const Tensor& weight) const = 0;
};

// While it lives, no adapter of this thread's forward passes is applied.
class AdaptersOff {
 public:
  AdaptersOff();
  ~AdaptersOff();
  AdaptersOff(const AdaptersOff&) = delete;

 private:
  bool before_;
};
bool adapters_on();

}  // namespace palate
