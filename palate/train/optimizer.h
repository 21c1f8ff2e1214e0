// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019), equal to torch.optim.AdamW(fused=True), and the clipping
// of torch.nn.utils.clip_grad_norm_.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/train/run_config.h"

namespace palate {

class AdamW {
 public:
  // values: contiguous float32 tensors, changed in place by step(); names key the saved state.
  AdamW(const OptimizerConfig& config, std::vector<std::string> names, std::vector<Tensor> values);

  // One update. gradients: float32, one a value; where one is undefined its value and moments stay as they are.
  void step(const std::vector<Tensor>& gradients, double lr);

  // "exp_avg.NAME" and "exp_avg_sq.NAME". load() throws FormatError for a missing name or another shape.
  void save(std::map<std::string, Tensor>& state) const;
  void load(const std::map<std::string, Tensor>& state, int64_t steps);
  int64_t steps() const { return steps_; }
  static int64_t state_bytes(int64_t values) { return 8 * values; }

 private:
  OptimizerConfig config_;
  std::vector<std::string> names_;
  std::vector<Tensor> values_, mean_, square_;
  int64_t steps_ = 0;
};

// Scales the gradients so that their common norm is at most `limit` (0: leaves them) and returns the norm before that, a
// float32 tensor [] on their device. Undefined gradients are passed over.
Tensor clip_gradients(const std::vector<Tensor>& gradients, double limit);

}  // namespace palate
