// The forward process x_t = alpha(t) x0 + sigma(t) noise of a model, the algebra between what networks predict of it, and one step back
// along it. Two kinds: a table of variances (schedule.h) and straight lines (rectified_flow.h).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace palate {

// epsilon: noise. v: alpha noise - sigma x0. sample: x0. flow: noise - x0.
enum class Prediction : uint8_t { epsilon, v, sample, flow };
const char* prediction_name(Prediction prediction);  // "epsilon", "v_prediction", "sample", "flow_prediction": diffusers' words

// [B] -> [B, 1, 1, ...] with as many dimensions as x [B, ...]; Error unless there is one for each sample.
Tensor per_sample(const Tensor& scalars, const Tensor& x);

// What training draws timesteps from.
struct TimestepRange {
  double first = 0, last = 0;  // both may be drawn
  bool whole = true;           // whole numbers only
};

// x_s = mean + std z with z of unit variance.
struct StepMoments {
  Tensor mean, std;  // [B, ...] and [B, 1, ...]
};

// Throughout: x [B, ...] of any shape, results in float32; t [B] as the network is told it, in any dtype.
class NoiseProcess {
 public:
  explicit NoiseProcess(Prediction prediction) : prediction_(prediction) {}
  virtual ~NoiseProcess() = default;

  virtual Tensor alpha(const Tensor& t) const = 0;  // [B] float32
  virtual Tensor sigma(const Tensor& t) const = 0;  // [B] float32
  virtual TimestepRange range() const = 0;
  // Drawn from range() -> t [B] on the CPU: int64, or float32 where t is a real number. A flow's shift acts here, so what is drawn lies
  // before the shift. Error for a number outside of the range.
  virtual Tensor timesteps(const std::vector<double>& drawn) const = 0;

  Prediction prediction() const { return prediction_; }
  Tensor add_noise(const Tensor& x0, const Tensor& noise, const Tensor& t) const;  // x_t
  Tensor target(const Tensor& x0, const Tensor& noise, const Tensor& t) const;     // what the network should predict
  Tensor to_x0(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const;
  Tensor to_epsilon(const Tensor& predicted, const Tensor& x_t, const Tensor& t) const;

  virtual Tensor snr(const Tensor& t) const;  // alpha^2 / sigma^2, [B]
  // [B]: what a step t -> s to less noise, made with the posterior's variance, loses of the true posterior:
  // KL(q(x_s | x_t, x0) || p(x_s | x_t)) = omega / 2 |target - predicted|^2, the squares summed over the elements. For epsilon it is
  // (SNR(s) - SNR(t)) sigma(t)^2 / alpha(t)^2, the weight that Diffusion-DPO (arXiv 2311.12908) writes omega(lambda_t) and leaves constant.
  Tensor omega(const Tensor& t, const Tensor& s) const;
  // The step t -> s from a prediction at t (Song et al., 2021, equation 12, for any alpha and sigma). eta 0 is deterministic: DDIM, for a
  // flow Euler's step. eta 1 is the posterior q(x_s | x_t, x0) at the predicted x0: DDPM's step with fixed_small variance. s = t leaves
  // x_t as it is.
  StepMoments step(const Tensor& predicted, const Tensor& x_t, const Tensor& t, const Tensor& s, double eta) const;

 protected:
  // alpha and sigma [B] in float64, as exactly as they are known: what a step leaves of a prediction is a small difference of them.
  virtual std::pair<Tensor, Tensor> exact_levels(const Tensor& t) const;

 private:
  Prediction prediction_;
};

// By the config's `_class_name`: a rectified flow for FlowMatch... classes, and for others whose use_flow_sigmas is true; else a table of
// variances. UsageError for classes that are known to be of neither kind (EDM, CogVideoX).
std::unique_ptr<NoiseProcess> make_noise_process(const Json& scheduler_config);

}  // namespace palate
