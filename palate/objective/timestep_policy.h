// Timestep axis: which t, with which weight.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/config/fields.h"
#include "palate/core/generator.h"
#include "palate/diffusion/schedule.h"

namespace palate {

struct Timestep {
  int64_t t = 0;
  double weight = 1;
};

class TimestepPolicy {
 public:
  virtual ~TimestepPolicy() = default;
  // For one pair. The generator is keyed by (seed, pair, draw, Purpose::timestep).
  virtual Timestep draw(const NoiseSchedule& schedule, Generator& generator) const = 0;
  // UsageError for timesteps that the schedule does not have; draw() asks too.
  virtual void check_steps(const NoiseSchedule& schedule) const = 0;
  virtual void visit(Fields& f) = 0;
};

}  // namespace palate
