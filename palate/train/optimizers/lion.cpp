// Lion (Chen et al., 2023, 2302.06675): the sign of a mean of the gradient, equal to lion-pytorch. Its usual beta2 is 0.99 and its
// usual rate a tenth of AdamW's.
#include <torch/types.h>

#include "palate/train/optimizers/members.h"

namespace palate {
namespace {

class Lion : public Optimizer {
 public:
  Lion(const OptimizerConfig& config, std::vector<std::string> names, std::vector<Tensor> values)
      : Optimizer(config, std::move(names), std::move(values)), mean_(add_state("exp_avg")) {}

 protected:
  void update(const std::vector<Tensor>& gradients, double lr) override {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (!gradients[i].defined()) continue;
      const Tensor direction = (mean_[i] * config_.beta1).add_(gradients[i], 1 - config_.beta1).sgn_();
      values_[i].mul_(1 - lr * config_.weight_decay).add_(direction, -lr);
      mean_[i].mul_(config_.beta2).add_(gradients[i], 1 - config_.beta2);
    }
  }

 private:
  std::vector<Tensor>& mean_;
};

}  // namespace

std::unique_ptr<Optimizer> make_lion(const OptimizerConfig& config, std::vector<std::string> names, std::vector<Tensor> values) {
  return std::make_unique<Lion>(config, std::move(names), std::move(values));
}

}  // namespace palate
