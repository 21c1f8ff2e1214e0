// t = T sigmoid(n) with n normal, of mean logit_mean and deviation logit_std (SD3, 2403.03206, section 3.1): the middle of the noise
// scale more often than its ends. A mean above 0 draws more noise. Whole timesteps take the floor of it; a flow's t is drawn before its
// shift. diffusers' SD3 scripts take the number as a place in the descending list of timesteps, so there a mean above 0 draws less noise;
// at mean 0 both are the same.
#include <algorithm>
#include <cmath>

#include "palate/config/member.h"
#include "palate/objective/timestep_policy.h"

namespace palate {
namespace {

struct LogitNormalConfig {
  double logit_mean = 0, logit_std = 1;

  void visit(Fields& f) {
    f("logit_mean", logit_mean, "mean of logit(t / T); above 0 more noise, below 0 less", {.min = -20, .max = 20});
    f("logit_std", logit_std, "deviation of logit(t / T); the larger, the more even", {.min = 0, .max = 20});
  }
};

class LogitNormal : public TimestepPolicy {
 public:
  using Config = LogitNormalConfig;
  explicit LogitNormal(const Config& config) : config_(config) {}

  Timestep draw(const NoiseProcess& process, Generator& generator) const override {
    const TimestepRange range = process.range();
    const double place = 1 / (1 + std::exp(-(config_.logit_mean + config_.logit_std * generator.normal())));
    const double t = place * (range.whole ? range.last + 1 : range.last);
    return {.t = std::clamp(range.whole ? std::floor(t) : t, range.first, range.last)};
  }
  void check_steps(const NoiseProcess&) const override {}  // within any process's range by its making

 private:
  LogitNormalConfig config_;
};

}  // namespace

Member<TimestepPolicy> logit_normal_timesteps() { return member<LogitNormal, TimestepPolicy>(); }

}  // namespace palate
