// t uniform on {t_min .. t_max - 1}.
#include "palate/core/error.h"
#include "palate/objective/members.h"

namespace palate {
namespace {

class Uniform : public TimestepPolicy {
 public:
  Timestep draw(const NoiseSchedule& schedule, Generator& generator) const override {
    const int64_t end = t_max_ > 0 ? t_max_ : schedule.steps();
    check<UsageError>(end <= schedule.steps() && t_min_ < end, "objective.t_min = ", t_min_, ", t_max = ", t_max_,
                      ": expected t_min < t_max, both within the ", schedule.steps(), " steps of this model's noise schedule");
    return {.t = t_min_ + generator.below(end - t_min_), .weight = 1};
  }
  void visit(Fields& f) override {
    f("t_min", t_min_, "smallest timestep drawn", {.min = 0});
    f("t_max", t_max_, "timesteps drawn are below this; 0: all of the noise schedule", {.min = 0});
    f.require(t_max_ == 0 || t_min_ < t_max_, "objective.t_min must be below objective.t_max");
  }

 private:
  int64_t t_min_ = 0, t_max_ = 0;
};

}  // namespace

std::shared_ptr<TimestepPolicy> make_uniform() { return std::make_shared<Uniform>(); }

}  // namespace palate
