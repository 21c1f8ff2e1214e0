// t uniform on {t_min .. t_max - 1}.
#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/objective/timestep_policy.h"

namespace palate {
namespace {

struct UniformConfig {
  int64_t t_min = 0, t_max = 0;

  void visit(Fields& f) {
    f("t_min", t_min, "smallest timestep drawn", {.min = 0});
    f("t_max", t_max, "timesteps drawn are below this; 0: all of the noise schedule", {.min = 0});
    f.require(t_max == 0 || t_min < t_max, "objective.t_min must be below objective.t_max");
  }
};

class Uniform : public TimestepPolicy {
 public:
  using Config = UniformConfig;
  explicit Uniform(const Config& config) : config_(config) {}

  Timestep draw(const NoiseSchedule& process, Generator& generator) const override {
    check_steps(process);
    return {.t = static_cast<double>(config_.t_min + generator.below(end(process) - config_.t_min))};
  }
  void check_steps(const NoiseSchedule& process) const override {
    check<UsageError>(end(process) <= process.steps() && config_.t_min < end(process), "objective.t_min = ", config_.t_min,
                      ", t_max = ", config_.t_max, ": expected t_min < t_max, both within the ", process.steps(),
                      " steps of this model's noise schedule");
  }

 private:
  int64_t end(const NoiseSchedule& process) const { return config_.t_max > 0 ? config_.t_max : process.steps(); }

  UniformConfig config_;
};

}  // namespace

Member<TimestepPolicy> uniform_timesteps() { return member<Uniform, TimestepPolicy>(); }

}  // namespace palate
