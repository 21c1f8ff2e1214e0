// Lion (Chen et al., 2023, 2302.06675): the sign of a mean of the gradient, equal to lion-pytorch. Its usual beta2 is 0.99 and its
// usual rate a tenth of AdamW's.
#include <torch/types.h>

#include "palate/train/optimizers/constants.h"
#include "palate/train/optimizers/member.h"

namespace palate {
namespace {

struct LionConfig {
  double beta1 = 0.9, beta2 = 0.999, weight_decay = 1e-2;
  void visit(Fields& f) {
    visit_betas(f, beta1, beta2);
    visit_weight_decay(f, weight_decay);
  }
};

class Lion : public Optimizer {
 public:
  using Config = LionConfig;
  Lion(const Config& config, std::vector<std::string> names, std::vector<Tensor> values)
      : Optimizer(std::move(names), std::move(values)), config_(config), mean_(add_state("exp_avg")) {}

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
  const Config config_;
  std::vector<Tensor>& mean_;
};

}  // namespace

OptimizerMember lion_optimizer() { return member<Lion, Optimizer, std::vector<std::string>, std::vector<Tensor>>(); }

}  // namespace palate
