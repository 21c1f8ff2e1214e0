// Adafactor (Shazeer and Stern, 2018, 1804.04235) with the rate given, as Diffusion-DPO uses it for SDXL: equal to transformers'
// Adafactor(relative_step=False, beta1=None). Of a matrix's second moments only the means of rows and columns are kept.
#include <torch/types.h>

#include <cmath>

#include "palate/train/optimizers/constants.h"
#include "palate/train/optimizers/member.h"

namespace palate {
namespace {

constexpr double square_eps = 1e-30, scale_eps = 1e-3, decay_rate = -0.8;  // transformers' defaults

Tensor root_mean_square(const Tensor& x) { return x.norm() / std::sqrt(static_cast<double>(x.numel())); }

struct AdafactorConfig {
  double weight_decay = 1e-2;
  bool scale_parameter = false;
  double clip_threshold = 1;
  void visit(Fields& f) {
    visit_weight_decay(f, weight_decay);
    f("scale_parameter", scale_parameter, "the rate is a share of each tensor's size", {});
    f("clip_threshold", clip_threshold, "largest root mean square of one update, in units of the rate", {.min = 1e-6});
  }
};

class Adafactor : public Optimizer {
 public:
  using Config = AdafactorConfig;
  Adafactor(const Config& config, std::vector<std::string> names, std::vector<Tensor> values)
      : Optimizer(std::move(names), std::move(values)),
        config_(config),
        rows_(state_["exp_avg_sq_row"]),
        columns_(state_["exp_avg_sq_col"]),
        squares_(state_["exp_avg_sq"]) {
    for (const auto& value : values_) {
      const bool matrix = value.dim() >= 2;
      rows_.push_back(matrix ? torch::zeros_like(value.select(-1, 0)).contiguous() : Tensor());
      columns_.push_back(matrix ? torch::zeros_like(value.select(-2, 0)).contiguous() : Tensor());
      squares_.push_back(matrix ? Tensor() : torch::zeros_like(value));
    }
  }

 protected:
  void update(const std::vector<Tensor>& gradients, double lr) override {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (gradients[i].defined()) move(i, gradients[i], lr);
    }
  }

 private:
  const Config config_;
  void move(size_t i, const Tensor& gradient, double lr) {
    Tensor& value = values_[i];
    const Tensor rate = config_.scale_parameter ? root_mean_square(value).clamp_min(scale_eps) * lr : torch::full({}, lr, value.options());
    Tensor change = scaled(i, gradient);
    change.div_((root_mean_square(change) / config_.clip_threshold).clamp_min(1.0)).mul_(rate);
    if (config_.weight_decay != 0) value.sub_(value * (rate * config_.weight_decay));
    value.sub_(change);
  }

  // The gradient over the root of its mean square.
  Tensor scaled(size_t i, const Tensor& gradient) {
    const double kept = 1 - std::pow(static_cast<double>(steps_), decay_rate);
    const Tensor square = gradient.square().add_(square_eps);
    if (squares_[i].defined()) return squares_[i].mul_(kept).add_(square, 1 - kept).rsqrt().mul_(gradient);
    rows_[i].mul_(kept).add_(square.mean(-1), 1 - kept);
    columns_[i].mul_(kept).add_(square.mean(-2), 1 - kept);
    const Tensor row = (rows_[i] / rows_[i].mean(-1, true)).rsqrt_().unsqueeze(-1);
    return (row * columns_[i].unsqueeze(-2).rsqrt()).mul_(gradient);
  }

  std::vector<Tensor>&rows_, &columns_, &squares_;
};

}  // namespace

OptimizerMember adafactor_optimizer() { return member<Adafactor, Optimizer, std::vector<std::string>, std::vector<Tensor>>(); }

}  // namespace palate
