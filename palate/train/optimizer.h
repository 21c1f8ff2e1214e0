// How weights move: one class an optimizer (train/optimizers), chosen by name, and the clipping of torch.nn.utils.clip_grad_norm_.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/config/choice.h"
#include "palate/core/tensor.h"

namespace palate {

struct OptimizerConfig {
  std::string name = "adamw";
  Constants constants;  // of that optimizer
  double lr = 1e-5;
  std::string lr_schedule = "constant_with_warmup";  // diffusers' names
  Constants schedule_constants;
  int64_t warmup_steps = 0;
  double clip_norm = 1;  // 0: no clipping
  void visit(Fields& f);
};

class Optimizer {
 public:
  // values: contiguous float32 tensors, changed in place by step(); names key the saved state.
  Optimizer(std::vector<std::string> names, std::vector<Tensor> values) : names_(std::move(names)), values_(std::move(values)) {}
  virtual ~Optimizer() = default;

  // One update. gradients: float32, one a value; where one is undefined its value and its state stay as they are.
  void step(const std::vector<Tensor>& gradients, double lr);

  // "KIND.NAME", for example "exp_avg.NAME". load() throws FormatError for a missing name or another shape.
  void save(std::map<std::string, Tensor>& state) const;
  void load(const std::map<std::string, Tensor>& state, int64_t steps);
  int64_t steps() const { return steps_; }

 protected:
  virtual void update(const std::vector<Tensor>& gradients, double lr) = 0;  // without gradients; steps_ counts this one already
  std::vector<Tensor>& add_state(const std::string& kind);                   // zeros like the values

  std::vector<std::string> names_;
  std::vector<Tensor> values_;
  std::map<std::string, std::vector<Tensor>> state_;  // kind -> one tensor a value; undefined where a value needs none of that kind
  int64_t steps_ = 0;
};

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::vector<std::string> names, std::vector<Tensor> values);
std::vector<ChoiceLine> optimizers();
// What its state takes for that many values in matrices (of which Adafactor keeps the sums of rows and columns alone).
int64_t optimizer_state_bytes(const std::string& name, int64_t values);

// Scales the gradients so that their common norm is at most `limit` (0: leaves them) and returns the norm before that, a
// float32 tensor [] on their device. Undefined gradients are passed over.
Tensor clip_gradients(const std::vector<Tensor>& gradients, double limit);

}  // namespace palate
