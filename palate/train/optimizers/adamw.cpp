// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019), equal to torch.optim.AdamW(fused=True).
#include <torch/types.h>

#include "palate/train/optimizers/constants.h"
#include "palate/train/optimizers/member.h"

namespace palate {
namespace {

class AdamW : public Optimizer {
 public:
  using Config = AdamWConfig;
  AdamW(const Config& config, std::vector<std::string> names, std::vector<Tensor> values)
      : Optimizer(std::move(names), std::move(values)), config_(config), mean_(add_state("exp_avg")), square_(add_state("exp_avg_sq")) {}

 protected:
  void update(const std::vector<Tensor>& gradients, double lr) override {
    std::vector<Tensor> values, grads, means, squares;
    for (size_t i = 0; i < values_.size(); ++i) {
      if (!gradients[i].defined()) continue;
      values.push_back(values_[i]);
      grads.push_back(gradients[i]);
      means.push_back(mean_[i]);
      squares.push_back(square_[i]);
    }
    if (values.empty()) return;
    const Tensor count = torch::full({}, static_cast<double>(steps_), values[0].options().dtype(torch::kFloat));
    const std::vector<Tensor> counts(values.size(), count);
    at::_fused_adamw_(values, grads, means, squares, {}, counts, lr, config_.beta1, config_.beta2, config_.weight_decay, config_.eps,
                      /*amsgrad=*/false, /*maximize=*/false);
  }

 private:
  const Config config_;
  std::vector<Tensor>&mean_, &square_;
};

}  // namespace

OptimizerMember adamw_optimizer() { return member<AdamW, Optimizer, std::vector<std::string>, std::vector<Tensor>>(); }

}  // namespace palate
