// One optimizer step of a task: passes, backward, clipping, optimizers, running mean. What the loop makes a run of, and what
// `palate bench` times.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "palate/train/ema.h"
#include "palate/train/optimizer.h"
#include "palate/train/task.h"

namespace palate {

struct StepReport {
  double loss = 0, grad_norm = 0;
  std::vector<Pass> passes;  // detached, with "loss" among their metrics
  double pass_seconds = 0, backward_seconds = 0, update_seconds = 0;
  bool finite() const;
};

class Update {
 public:
  // `ema`: decay of a running mean of the values; 0: none.
  Update(Task& task, const OptimizerConfig& config, double ema);

  // Leaves everything as it was when loss or gradient is not finite (report.finite()).
  // `rate`: of a group at this step.
  template <class Rate>
  StepReport step(int64_t step, int64_t accumulation, double progress, const Ranks& ranks, const Rate& rate) {
    StepReport report = gradients(step, accumulation, progress, ranks);
    if (report.finite()) {
      std::vector<double> rates;
      for (const auto& group : task_.parameters().groups()) rates.push_back(rate(group));
      apply(rates, ranks, report);
    }
    return report;
  }

  void save(TensorMap& tensors) const;
  void load(const TensorMap& tensors, int64_t steps);

  // The values are the running mean, where there is one, while `use` runs; whatever happens, they are themselves again after it.
  template <class Use>
  void with_mean(const Use& use) {
    const Swapped swapped(*this);
    use();
  }
  void keep_mean();  // the values become the running mean for good

 private:
  struct Swapped {
    explicit Swapped(Update& owner) : update(owner) { update.swap(); }
    ~Swapped() { update.swap(); }
    Swapped(const Swapped&) = delete;
    Update& update;
  };
  StepReport gradients(int64_t step, int64_t accumulation, double progress, const Ranks& ranks);
  void apply(const std::vector<double>& rates, const Ranks& ranks, StepReport& report);
  void swap();

  Task& task_;
  double clip_norm_;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;  // one a group
  std::optional<Ema> ema_;
};

}  // namespace palate
