// Layers that an adapter (LoRA) can hang on. The layer calls its adapters after its own product; with adapters off it is
// the base model to the bit, which is how the reference policy costs no second copy of the weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

class Adapter {
 public:
  virtual ~Adapter() = default;
  int set = 0;  // 0 to 63: the adapters of one LoRA have one, so that several LoRAs on the same layers can be told apart
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

// While it lives, this thread's forward passes apply the adapters of these sets alone.
class AdaptersOnly {
 public:
  explicit AdaptersOnly(uint64_t sets);  // bit n: set n
  ~AdaptersOnly();
  AdaptersOnly(const AdaptersOnly&) = delete;
  AdaptersOnly& operator=(const AdaptersOnly&) = delete;

 private:
  uint64_t before_;
};
constexpr uint64_t adapter_set(int set) { return uint64_t{1} << set; }

// None of them: the base model.
class AdaptersOff : public AdaptersOnly {
 public:
  AdaptersOff() : AdaptersOnly(0) {}
};

uint64_t active_adapters();  // the sets that are applied now; all of them at first
inline bool adapters_on() { return active_adapters() != 0; }

}  // namespace palate
