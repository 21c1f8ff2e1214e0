// Learning-rate schedules by diffusers' names, equal to diffusers/optimization.py: a factor of the peak rate for each step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace palate {

struct OptimizerConfig;

// constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial.
std::vector<std::string> lr_schedule_names();

// The rate that update number `step` (from 0) of `steps` uses. The first step of a warm-up has rate 0, as in diffusers.
double learning_rate(const OptimizerConfig& config, int64_t step, int64_t steps);

}  // namespace palate
