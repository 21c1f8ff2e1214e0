// Error-space axis: how far a prediction is from its target, per sample.
#pragma once

#include <memory>

#include "palate/config/fields.h"
#include "palate/diffusion/schedule.h"
#include "palate/models/denoiser.h"

namespace palate {

// Everything an error space may look at. x0, noise, x_t [B, C, h, w] float32; t [B]; prediction as the network gave it.
struct ErrorInput {
  const NoiseSchedule& schedule;
  const Tensor& x0;
  const Tensor& noise;
  const Tensor& x_t;
  const Tensor& t;
  const Condition& condition;
  const Tensor& prediction;
};

class ErrorSpace {
 public:
  virtual ~ErrorSpace() = default;
  virtual Tensor error(const ErrorInput& input) const = 0;  // [B] float32
  virtual void visit(Fields& f) = 0;
};

}  // namespace palate
