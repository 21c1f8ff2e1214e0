// t uniform on {t_min .. t_max - 1}.
#include "palate/config/member.h"
#include "palate/objective/timestep/bounds.h"

namespace palate {
namespace {

class Uniform : public TimestepPolicy {
 public:
  using Config = TimestepBounds;
  explicit Uniform(const Config& config) : bounds_(config) {}
  Timestep draw(const NoiseProcess& process, Generator& generator) const override { return {.t = bounds_.draw(process, generator)}; }
  void check_steps(const NoiseProcess& process) const override { bounds_.check_steps(process); }

 private:
  TimestepBounds bounds_;
};

}  // namespace

Member<TimestepPolicy> uniform_timesteps() { return member<Uniform, TimestepPolicy>(); }

}  // namespace palate
