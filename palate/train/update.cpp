#include "palate/train/update.h"

#include <torch/types.h>

#include <cmath>

#include "palate/core/clock.h"

namespace palate {

bool StepReport::finite() const { return std::isfinite(grad_norm) && std::isfinite(loss); }

Update::Update(Task& task, const OptimizerConfig& config, double ema) : task_(task), clip_norm_(config.clip_norm) {
  const Parameters& parameters = task.parameters();
  for (const auto& group : parameters.groups()) optimizers_.push_back(make_optimizer(config, group.names, group.values));
  if (ema > 0) ema_.emplace(ema, parameters.names(), parameters.values());
}

StepReport Update::gradients(int64_t step, int64_t accumulation, double progress, const Ranks& ranks) {
  Parameters& parameters = task_.parameters();
  task_.set_training(true);
  StepReport report;
  const double share = 1.0 / static_cast<double>(accumulation);
  for (int64_t part = 0; part < accumulation; ++part) {
    const auto began = Clock::now();
    Pass pass = task_.pass(step, part, progress, ranks);
    report.pass_seconds += seconds_since(began);
    const auto passed = Clock::now();
    (accumulation == 1 ? pass.loss : pass.loss * share).backward();
    parameters.collect();
    pass.metrics["loss"] = pass.loss.item<double>();
    report.loss += pass.metrics["loss"] * share;
    pass.loss = pass.loss.detach();
    report.passes.push_back(std::move(pass));
    report.backward_seconds += seconds_since(passed);
  }
  std::vector<Tensor> all;
  for (const auto& group : parameters.groups()) {
    const auto gradients = parameters.gradients(group);
    all.insert(all.end(), gradients.begin(), gradients.end());
  }
  report.grad_norm = clip_gradients(all, clip_norm_).item<double>();
  return report;
}

void Update::apply(const std::vector<double>& rates, const Ranks& ranks, StepReport& report) {
  const auto began = Clock::now();
  Parameters& parameters = task_.parameters();
  for (size_t g = 0; g < optimizers_.size(); ++g) optimizers_[g]->step(parameters.gradients(parameters.groups()[g]), rates[g]);
  task_.after_update(ranks);
  parameters.publish();
  parameters.clear_gradients();
  if (ema_) ema_->update(parameters.values());
  report.update_seconds = seconds_since(began);
}

void Update::save(TensorMap& tensors) const {
  for (const auto& optimizer : optimizers_) optimizer->save(tensors);
  if (ema_) ema_->save(tensors);
}

void Update::load(const TensorMap& tensors, int64_t steps) {
  for (const auto& optimizer : optimizers_) optimizer->load(tensors, steps);
  if (ema_) ema_->load(tensors, steps);
}

void Update::swap() {
  if (!ema_) return;
  ema_->swap(task_.parameters().values());
  task_.parameters().publish();
}

void Update::keep_mean() {
  swap();
  ema_.reset();
}

}  // namespace palate
