// Reference axis: where the reference's errors come from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "palate/data/batch.h"
#include "palate/objective/error_space.h"
#include "palate/objective/terms.h"

namespace palate {

class Reference {
 public:
  virtual ~Reference() = default;
  // errors (win, lose), each [B] float32 without gradients. lose is undefined when `with_loser` is false.
  struct Request {
    const PairBatch& batch;
    const Draw& draw;
    const std::vector<uint64_t>& draws;  // the draw numbers that `draw` was made from, one a pair
    const NoiseSchedule& schedule;
    const ErrorSpace& space;
    Denoiser& policy;
    bool with_loser;
  };
  virtual std::pair<Tensor, Tensor> errors(const Request& request) = 0;
};

}  // namespace palate
