// t uniform on {t_min .. t_max - 1}, on [t_min, t_max) where t is a real number.
#pragma once

#include <algorithm>

#include "palate/config/fields.h"
#include "palate/core/error.h"
#include "palate/objective/timestep_policy.h"

namespace palate {

struct TimestepBounds {
  int64_t t_min = 0, t_max = 0;

  void visit(Fields& f) {
    f("t_min", t_min, "smallest timestep drawn", {.min = 0});
    f("t_max", t_max, "timesteps drawn are below this; 0: all of the noise schedule", {.min = 0});
    f.require(t_max == 0 || t_min < t_max, "objective.t_min must be below objective.t_max");
  }

  double draw(const NoiseProcess& process, Generator& generator) const {
    check_steps(process);
    const double end = this->end(process);
    if (!process.range().whole) return begin(process) + generator.uniform() * (end - begin(process));
    return static_cast<double>(t_min + generator.below(static_cast<int64_t>(end) - t_min));
  }
  void check_steps(const NoiseProcess& process) const {
    const TimestepRange range = process.range();
    check<UsageError>(end(process) <= range.last + (range.whole ? 1 : 0) && begin(process) < end(process), "objective.t_min = ", t_min,
                      ", t_max = ", t_max, ": expected t_min < t_max, both within the timesteps of this model's noise process, ",
                      range.first, " to ", range.last);
  }

  double begin(const NoiseProcess& process) const { return std::max(static_cast<double>(t_min), process.range().first); }
  double end(const NoiseProcess& process) const {
    const TimestepRange range = process.range();
    return t_max > 0 ? static_cast<double>(t_max) : range.last + (range.whole ? 1 : 0);
  }
};

}  // namespace palate
