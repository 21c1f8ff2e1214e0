#include "palate/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "palate/core/error.h"
#include "palate/train/run_config.h"

namespace palate {
namespace {

double cosine(double turns) { return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * turns))); }

double polynomial(const OptimizerConfig& config, int64_t step, int64_t steps) {
  constexpr double end = 1e-7;  // lr_end of diffusers
  if (step > steps) return end / config.lr;
  const double power = constants_of<PolynomialConfig>(config.schedule_constants).power;
  const double left = 1 - static_cast<double>(step - config.warmup_steps) / static_cast<double>(steps - config.warmup_steps);
  return ((config.lr - end) * std::pow(left, power) + end) / config.lr;
}

double factor(const OptimizerConfig& config, int64_t step, int64_t steps) {
  const std::string& name = config.lr_schedule;
  if (name == "constant") return 1;  // has no warm-up
  if (step < config.warmup_steps) return static_cast<double>(step) / static_cast<double>(config.warmup_steps);
  if (name == "constant_with_warmup") return 1;
  if (name == "polynomial") return polynomial(config, step, steps);
  const double span = static_cast<double>(std::max<int64_t>(1, steps - config.warmup_steps));
  if (name == "linear") return std::max(0.0, static_cast<double>(steps - step) / span);
  const double progress = static_cast<double>(step - config.warmup_steps) / span;
  if (name == "cosine") return cosine(progress);  // half a period
  check<UsageError>(name == "cosine_with_restarts", "optimizer.lr_schedule: expected ", one_of(names_of(lr_schedules())), ", got '", name,
                    "'");
  const int64_t cycles = constants_of<CosineWithRestartsConfig>(config.schedule_constants).num_cycles;
  return progress >= 1 ? 0 : cosine(std::fmod(static_cast<double>(cycles) * progress, 1.0));
}

}  // namespace

std::vector<ChoiceLine> lr_schedules() {
  const auto none = [] { return Constants(NoConstants{}); };
  return {{"constant", "the same rate throughout, without a warm-up", none},
          {"constant_with_warmup", "the same rate after a warm-up", none},
          {"linear", "down to 0 in a straight line", none},
          {"cosine", "down to 0 along half a cosine", none},
          {"cosine_with_restarts", "the same num_cycles times", [] { return Constants(CosineWithRestartsConfig{}); }},
          {"polynomial", "down to 1e-7 along a power", [] { return Constants(PolynomialConfig{}); }}};
}

double learning_rate(const OptimizerConfig& config, int64_t step, int64_t steps) { return config.lr * factor(config, step, steps); }

double learning_rate(const OptimizerConfig& config, double lr, int64_t step, int64_t steps) {
  if (lr == 0) return learning_rate(config, step, steps);
  if (config.lr > 0) return learning_rate(config, step, steps) * (lr / config.lr);  // one curve for all groups
  OptimizerConfig own = config;
  own.lr = lr;
  return learning_rate(own, step, steps);
}

}  // namespace palate
