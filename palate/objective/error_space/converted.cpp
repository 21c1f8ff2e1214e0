// The error in a parameterisation that need not be the network's own (docs/objectives.md, section 0.2): from any prediction
//
//   x0_hat and eps_hat, with x_t = alpha x0_hat + sigma eps_hat
//   epsilon: eps_hat     x0: x0_hat     v: alpha eps_hat - sigma x0_hat     velocity: eps_hat - x0_hat
//
// so that the errors are e_eps = alpha e_v, e_x0 = -sigma e_v, e_eps = -(alpha / sigma) e_x0. Theory weighs timesteps by such factors and
// every public trainer leaves them out; for flows they were found to be worse (2501.13918). Where a network predicts noise and no signal is
// left (alpha = 0, zero terminal SNR) all but epsilon would be infinite: that timestep is not drawn.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/error_space.h"

namespace palate {
namespace {

enum class Compared : uint8_t { epsilon, x0, v, velocity };

template <Compared compared>
class Converted : public ErrorSpace {
 public:
  using Config = NoConstants;
  Converted(const Config&, const SpaceSetup& setup) : process_(setup.process) {}

  Tensor embed(const Noised& noised, const Condition&, const Tensor& prediction) const override {
    if (is_own()) return prediction.to(torch::kFloat32);
    const auto x0 = [&] { return process_.to_x0(prediction, noised.x_t, noised.t); };
    const auto noise = [&] { return process_.to_epsilon(prediction, noised.x_t, noised.t); };
    if constexpr (compared == Compared::epsilon) return noise();
    if constexpr (compared == Compared::x0) return x0();
    if constexpr (compared == Compared::velocity) return noise() - x0();
    const auto level = [&](const Tensor& values) { return per_sample(values.to(noised.x_t.device()), noised.x_t); };
    return level(process_.alpha(noised.t)) * noise() - level(process_.sigma(noised.t)) * x0();
  }

  TimestepRange range(const NoiseProcess& process) const override { return is_own() ? process.range() : invertible(process); }

 private:
  bool is_own() const {
    switch (process_.prediction()) {
      case Prediction::epsilon:
        return compared == Compared::epsilon;
      case Prediction::sample:
        return compared == Compared::x0;
      case Prediction::v:
        return compared == Compared::v;
      case Prediction::flow:
        return compared == Compared::velocity;
    }
    return false;
  }

  const NoiseProcess& process_;
};

using SpaceMember = Member<ErrorSpace, SpaceSetup>;

template <Compared compared>
SpaceMember converted() {
  return member<Converted<compared>, ErrorSpace, SpaceSetup>();
}

}  // namespace

TimestepRange invertible(const NoiseProcess& process) {
  TimestepRange range = process.range();
  if (process.prediction() != Prediction::epsilon || !range.whole) return range;
  while (range.last > range.first && process.alpha(process.timesteps({range.last})).item<float>() == 0) range.last -= 1;
  return range;
}

SpaceMember epsilon_space() { return converted<Compared::epsilon>(); }
SpaceMember x0_space() { return converted<Compared::x0>(); }
SpaceMember v_space() { return converted<Compared::v>(); }
SpaceMember velocity_space() { return converted<Compared::velocity>(); }

}  // namespace palate
