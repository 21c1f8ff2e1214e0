// Prodigy (Mishchenko and Defazio, 2023, 2306.06101): Adam that finds its rate, equal to prodigyopt. optimizer.lr is a factor of the
// rate that it finds, usually 1.
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/train/optimizers/constants.h"
#include "palate/train/optimizers/member.h"

namespace palate {
namespace {

constexpr double first_distance = 1e-6;

struct ProdigyConfig {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
  double prodigy_beta3 = 0, prodigy_d_coef = 1;                                                       // beta3 0: the root of beta2
  bool prodigy_decouple = true, prodigy_use_bias_correction = true, prodigy_safeguard_warmup = true;  // as diffusers' scripts set them

  void visit(Fields& f) {
    visit_betas(f, beta1, beta2);
    visit_eps(f, eps);
    visit_weight_decay(f, weight_decay);
    f("prodigy_beta3", prodigy_beta3, "decay of the running sums that find the rate; 0: the root of beta2", {.min = 0, .max = 0.9999999});
    f("prodigy_d_coef", prodigy_d_coef, "factor of the rate that is found", {.min = 1e-6});
    f("prodigy_decouple", prodigy_decouple, "weight decay as AdamW's, not added to the gradient");
    f("prodigy_use_bias_correction", prodigy_use_bias_correction, "Adam's correction of the first steps");
    f("prodigy_safeguard_warmup", prodigy_safeguard_warmup, "a warm-up does not enter the rate's estimate");
  }
};

class Prodigy : public Optimizer {
 public:
  using Config = ProdigyConfig;
  Prodigy(const Config& config, std::vector<std::string> names, std::vector<Tensor> values)
      : Optimizer(std::move(names), std::move(values)),
        config_(config),
        mean_(add_state("exp_avg")),
        square_(add_state("exp_avg_sq")),
        sum_(add_state("s")),
        start_(state_["p0"]),
        found_(state_["distance"]) {
    for (const auto& value : values_) start_.push_back(value.detach().clone());
    found_.resize(values_.size());
    if (!values_.empty()) found_[0] = torch::tensor({first_distance, first_distance, 0.0}, torch::kFloat64);
  }

 protected:
  void update(const std::vector<Tensor>& gradients, double lr) override {
    if (values_.empty()) return;
    double* const found = found_[0].data_ptr<double>();
    double &distance = found[0], &largest = found[1], &numerator = found[2];
    const double before = distance, step = before * lr * bias_correction();
    const double beta3 = config_.prodigy_beta3 > 0 ? config_.prodigy_beta3 : std::sqrt(config_.beta2);
    double product = 0, denominator = 0;
    for (size_t i = 0; i < values_.size(); ++i) {
      if (gradients[i].defined() && lr > 0) gather(i, with_decay(i, gradients[i]), before, step, beta3, product, denominator);
    }
    numerator = numerator * beta3;
    if (denominator == 0) return;  // no gradient yet, or a rate of 0
    numerator += product;
    const double estimate = config_.prodigy_d_coef * numerator / denominator;
    if (distance == first_distance) distance = std::max(distance, estimate);
    largest = std::max(largest, estimate);
    distance = largest;
    for (size_t i = 0; i < values_.size(); ++i) {
      if (gradients[i].defined()) move(i, distance, step);
    }
  }

 private:
  const Config config_;
  double bias_correction() const {
    if (!config_.prodigy_use_bias_correction) return 1;
    const auto count = static_cast<double>(steps_);
    return std::sqrt(1 - std::pow(config_.beta2, count)) / (1 - std::pow(config_.beta1, count));
  }

  Tensor with_decay(size_t i, const Tensor& gradient) const {
    return config_.prodigy_decouple || config_.weight_decay == 0 ? gradient : gradient.add(values_[i], config_.weight_decay);
  }

  void gather(size_t i, const Tensor& gradient, double d, double step, double beta3, double& product, double& denominator) {
    product += d / first_distance * step * at::dot(gradient.flatten(), (start_[i] - values_[i]).flatten()).item<double>();
    mean_[i].mul_(config_.beta1).add_(gradient, d * (1 - config_.beta1));
    square_[i].mul_(config_.beta2).addcmul_(gradient, gradient, d * d * (1 - config_.beta2));
    sum_[i].mul_(beta3).add_(gradient, d / first_distance * (config_.prodigy_safeguard_warmup ? d : step));
    denominator += sum_[i].abs().sum().item<double>();
  }

  void move(size_t i, double d, double step) {
    const Tensor root = square_[i].sqrt().add_(d * config_.eps);
    if (config_.prodigy_decouple && config_.weight_decay != 0) values_[i].add_(values_[i], -config_.weight_decay * step);
    values_[i].addcdiv_(mean_[i], root, -step);
  }

  std::vector<Tensor>&mean_, &square_, &sum_, &start_;
  std::vector<Tensor>& found_;  // of the first value alone: [distance, its largest estimate, the estimate's numerator]
};

}  // namespace

OptimizerMember prodigy_optimizer() { return member<Prodigy, Optimizer, std::vector<std::string>, std::vector<Tensor>>(); }

}  // namespace palate
