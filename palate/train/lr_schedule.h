// Learning-rate schedules by diffusers' names, equal to diffusers/optimization.py: a factor of the peak rate for each step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/config/choice.h"

namespace palate {

struct OptimizerConfig;

struct CosineWithRestartsConfig {
  int64_t num_cycles = 1;
  void visit(Fields& f) {
    f("num_cycles", num_cycles, "how often the rate starts again", {.min = 1, .max = 1e12, .aliases = {"lr_num_cycles"}});
  }
};
struct PolynomialConfig {
  double power = 1;
  void visit(Fields& f) { f("power", power, "exponent of the decay", {.min = 0, .aliases = {"lr_power"}}); }
};

// constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial.
std::vector<ChoiceLine> lr_schedules();

// The rate that update number `step` (from 0) of `steps` uses. The first step of a warm-up has rate 0, as in diffusers.
double learning_rate(const OptimizerConfig& config, int64_t step, int64_t steps);
// The same with another peak (0: config.lr).
double learning_rate(const OptimizerConfig& config, double lr, int64_t step, int64_t steps);

}  // namespace palate
