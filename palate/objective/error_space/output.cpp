// The error in the network's own parameterisation, weight 1, as every public trainer computes it (docs/objectives.md, section 0.3):
// d = mean over channels and pixels of (target - prediction)^2, in float32.
#include <torch/types.h>

#include "palate/objective/members.h"

namespace palate {
namespace {

class OutputError : public ErrorSpace {
 public:
  Tensor error(const ErrorInput& input) const override {
    const Tensor target = input.schedule.target(input.x0, input.noise, input.t);  // [B, C, h, w]
    return (input.prediction.to(torch::kFloat32) - target).square().flatten(1).mean(1);
  }
  void visit(Fields&) override {}
};

}  // namespace

std::shared_ptr<ErrorSpace> make_output_error() { return std::make_shared<OutputError>(); }

}  // namespace palate
