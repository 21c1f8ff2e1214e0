// Samplers without a memory: a step is a mean, made from x and one prediction, and noise of one deviation.
#pragma once

#include <torch/types.h>

#include <optional>

#include "palate/core/error.h"
#include "palate/diffusion/sampler.h"

namespace palate {

struct MarkovStep {
  Tensor mean;    // float32
  float std = 0;  // 0: no noise is added
};

// Base: DiscreteSampler or ExplodingSampler.
template <class Base>
class MarkovSampler : public Base {
 public:
  using Base::Base;

  std::optional<Transition> transition(const Tensor& predicted, int64_t index, const Tensor& x) const final {
    const MarkovStep made = markov_step(predicted, index, x);
    if (made.std == 0) return std::nullopt;
    return Transition{made.mean, torch::scalar_tensor(made.std, torch::kFloat32)};
  }
  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x, const Tensor& noise) final {
    const MarkovStep made = markov_step(predicted, index, x);
    if (made.std == 0) return made.mean;
    check(noise.defined(), "sampler: step ", index, " of a stochastic sampler needs noise");
    return made.mean + made.std * noise.to(x.device(), torch::kFloat32);
  }

 protected:
  virtual MarkovStep markov_step(const Tensor& predicted, int64_t index, const Tensor& x) const = 0;
};

}  // namespace palate
