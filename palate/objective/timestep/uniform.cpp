// t uniform on {t_min .. t_max - 1}.
#include "palate/core/error.h"
#include "palate/objective/members.h"

namespace palate {
namespace {

class Uniform : public TimestepPolicy {
 public:
  Timestep draw(const NoiseSchedule& schedule, Generator& generator) const override {
    check_steps(schedule);
    return {.t = t_min_ + generator.below(end(schedule) - t_min_), .weight = 1};
  }
  void check_steps(const NoiseSchedule& schedule) const override {
    check<UsageError>(end(schedule) <= schedule.steps() && t_min_ < end(schedule), "objective.t_min = ", t_min_, ", t_max = ", t_max_,
                      ": expected t_min < t_max, both within the ", schedule.steps(), " steps of this model's noise schedule");
  }
  void visit(Fields& f) override {
    f("t_min", t_min_, "smallest timestep drawn", {.min = 0});
    f("t_max", t_max_, "timesteps drawn are below this; 0: all of the noise schedule", {.min = 0});
    f.require(t_max_ == 0 || t_min_ < t_max_, "objective.t_min must be below objective.t_max");
  }

 private:
  int64_t end(const NoiseSchedule& schedule) const { return t_max_ > 0 ? t_max_ : schedule.steps(); }

  int64_t t_min_ = 0, t_max_ = 0;
};

}  // namespace

std::shared_ptr<TimestepPolicy> make_uniform() { return std::make_shared<Uniform>(); }

}  // namespace palate
