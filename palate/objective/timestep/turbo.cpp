// The few timesteps that a distilled model is asked at (DiffusionDPO for SDXL-Turbo: t = 250 k + 249; docs/objectives.md, section 0.6).
#include "palate/core/error.h"
#include "palate/objective/members.h"

namespace palate {
namespace {

class Turbo : public TimestepPolicy {
 public:
  Timestep draw(const NoiseSchedule& schedule, Generator& generator) const override {
    check_steps(schedule);
    return {.t = timesteps_.at(static_cast<size_t>(generator.below(static_cast<int64_t>(timesteps_.size())))), .weight = 1};
  }
  void check_steps(const NoiseSchedule& schedule) const override {
    for (const int64_t t : timesteps_)
      check<UsageError>(t < schedule.steps(), "objective.turbo_timesteps: ", t, " is not within the ", schedule.steps(),
                        " steps of this model's noise schedule");
  }
  void visit(Fields& f) override {
    f("turbo_timesteps", timesteps_, "the timesteps that are drawn", {.min = 0});
    f.require(!timesteps_.empty(),
              "objective.turbo_timesteps is empty: name the model's timesteps, or set objective.timesteps = \"uniform\"");
  }

 private:
  std::vector<int64_t> timesteps_ = {249, 499, 749, 999};
};

}  // namespace

std::shared_ptr<TimestepPolicy> make_turbo() { return std::make_shared<Turbo>(); }

}  // namespace palate
