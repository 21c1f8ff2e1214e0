// The few timesteps that a distilled model is asked at (DiffusionDPO's launcher for SDXL-Turbo: t = 250 k + 249; docs/objectives.md,
// section 0.6).
#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/objective/timestep_policy.h"

namespace palate {
namespace {

struct TurboConfig {
  std::vector<int64_t> turbo_timesteps = {249, 499, 749, 999};

  void visit(Fields& f) {
    f("turbo_timesteps", turbo_timesteps, "the timesteps that are drawn", {.min = 0});
    f.require(!turbo_timesteps.empty(),
              "objective.turbo_timesteps is empty: name the model's timesteps, or set objective.timesteps = \"uniform\"");
  }
};

class Turbo : public TimestepPolicy {
 public:
  using Config = TurboConfig;
  explicit Turbo(const Config& config) : timesteps_(config.turbo_timesteps) {}

  Timestep draw(const NoiseProcess& process, Generator& generator) const override {
    check_steps(process);
    const int64_t which = generator.below(static_cast<int64_t>(timesteps_.size()));
    return {.t = static_cast<double>(timesteps_.at(static_cast<size_t>(which)))};
  }
  void check_steps(const NoiseProcess& process) const override {
    for (const int64_t t : timesteps_) {
      check<UsageError>(static_cast<double>(t) <= process.range().last, "objective.turbo_timesteps: ", t,
                        " is not within the timesteps of this model's noise process, ", process.range().first, " to ",
                        process.range().last);
    }
  }

 private:
  std::vector<int64_t> timesteps_;
};

}  // namespace

Member<TimestepPolicy> turbo_timesteps() { return member<Turbo, TimestepPolicy>(); }

}  // namespace palate
