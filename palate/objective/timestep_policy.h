// Timestep axis: which t, with which weight.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "palate/core/generator.h"
#include "palate/core/ranks.h"
#include "palate/diffusion/noise_process.h"
#include "palate/objective/statistics.h"

namespace palate {

struct Timestep {
  double t = 0;
  double weight = 1;
};

class TimestepPolicy {
 public:
  virtual ~TimestepPolicy() = default;
  // For one example. The generator is keyed by (seed, id, draw, Purpose::timestep).
  virtual Timestep draw(const NoiseProcess& process, Generator& generator) const = 0;
  // UsageError for timesteps that the process does not have; draw() asks too.
  virtual void check_steps(const NoiseProcess& process) const = 0;

  // For policies that learn from the errors. observe() is called after each pass and changes no draw; end_step() is called when the step's
  // update was made, and is the only place where draws change: all passes of a step, on all ranks, draw alike. `save` and `load` keep the
  // state to the bit, under names of the policy's own.
  virtual void observe(const Statistics&) {}
  virtual void end_step(const Ranks&) {}
  virtual bool needs_steps() const { return false; }  // Noised::previous_t and the policy's Branch::output, in what observe() sees
  virtual std::map<std::string, double> metrics() const { return {}; }  // of the state, logged beside the pass's own
  virtual void save(std::map<std::string, Tensor>&) const {}
  virtual void load(const std::map<std::string, Tensor>&) {}
  // A twin whose draws never change: for validation, whose numbers must be comparable from step to step, and for errors that are computed
  // ahead. Null: this policy has no state, and is its own twin.
  virtual std::unique_ptr<TimestepPolicy> fixed() const { return nullptr; }
};

}  // namespace palate
