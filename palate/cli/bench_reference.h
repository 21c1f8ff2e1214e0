// The reference of a benchmark, with the time that it took.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <utility>

#include "palate/objective/reference.h"

namespace palate {

using Clock = std::chrono::steady_clock;
inline double since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }
// Over all threads; unlike the wall's time it does not count waiting for other programs.
inline double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// How long the reference takes inside Objective::evaluate; without an inner one it gives fixed errors, as a cache would.
class TimedReference : public Reference {
 public:
  explicit TimedReference(std::unique_ptr<Reference> inner, double& seconds) : inner_(std::move(inner)), seconds_(seconds) {}
  std::pair<Tensor, Tensor> errors(const Request& request) override {
    const auto begin = Clock::now();
    const Tensor fixed = torch::ones({request.batch.size()}, torch::kFloat32);
    const auto result = inner_ ? inner_->errors(request) : std::pair{fixed, fixed};
    seconds_ = since(begin);
    return result;
  }

 private:
  std::unique_ptr<Reference> inner_;
  double& seconds_;
};

}  // namespace palate
