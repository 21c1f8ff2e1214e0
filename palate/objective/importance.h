// How likely the policy makes a denoising step that the true posterior makes: the importance weight of 2505.21893 in the form that can be
// computed (docs/objectives.md, section 3).
#pragma once

#include "palate/objective/statistics.h"

namespace palate {

// log (p(x_s | x_t) / q(x_s | x_t, x0)) of a network's step from t to s = Noised::previous_t with the posterior's variance: [views * B]
// float32, per dimension (a mean, as the sum would underflow), without gradients. Expected over x_s ~ q, so never above 0, or `sampled` at
// the x_s that Noised::step_noise gives. Needs Needs::steps, Branch::output and, sampled, Needs::step_noise.
Tensor log_importance(const Branch& branch, const Noised& noised, bool sampled = false);

// exp of it; 0 where it is no number, as at the last timestep of zero terminal SNR, where nothing is known of x0.
Tensor importance_weight(const Tensor& log_importance);

}  // namespace palate
