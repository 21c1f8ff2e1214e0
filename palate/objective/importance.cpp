// With e = target - prediction of any parameterisation and omega of NoiseProcess::omega in the same one:
//
//   q(x_s | x_t, x0) = N(mu(x0), std^2),  p(x_s | x_t) = N(mu(x0_hat), std^2)        one variance, the posterior's
//   mu(x0) - mu(x0_hat) = c e,  c^2 / std^2 = omega                                  the means are linear in what is predicted
//   x_s = mu(x0) + std z, so x_s - mu(x0_hat) = std z + c e, and
//   log p - log q = -1/2 |z + (c / std) e|^2 + 1/2 |z|^2 = -1/2 omega |e|^2 - sign(c) sqrt(omega) <z, e>
//
// The posterior's mean has x0 with a positive factor: c > 0 for a predicted x0. Noise, v and a flow's velocity take x0 = (x_t - sigma eps)
// / alpha, alpha x_t - sigma v, x_t - sigma u with a negative one: c < 0, and the last term is + sqrt(omega) <z, e>. Branch::output is -e.
#include "palate/objective/importance.h"

#include <torch/types.h>

#include "palate/core/error.h"

namespace palate {

Tensor log_importance(const Branch& branch, const Noised& noised, bool sampled) {
  check(branch.output.defined() && noised.previous_t.defined(), "importance: the output's residual and previous_t must be given");
  const torch::NoGradGuard no_grad;
  const Tensor omega = noised.process->omega(noised.t, noised.previous_t);
  const Tensor expected = -0.5 * omega * Statistics::inner(branch.output, branch.output);
  if (!sampled) return expected;
  check(noised.step_noise.defined(), "importance: the noise of the step must be given");
  const double sign = noised.process->prediction() == Prediction::sample ? 1 : -1;
  return expected + sign * omega.sqrt() * Statistics::inner(noised.step_noise, branch.output);
}

Tensor importance_weight(const Tensor& log_importance) { return log_importance.exp().nan_to_num(0.0); }

}  // namespace palate
