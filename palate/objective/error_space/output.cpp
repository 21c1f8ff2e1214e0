// The error in the network's own parameterisation, weight 1, as every public trainer computes it (docs/objectives.md, section 0.3):
// d = mean over channels and pixels of (target - prediction)^2, in float32.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/error_space.h"

namespace palate {
namespace {

class Output : public ErrorSpace {
 public:
  using Config = NoConstants;
  Output(const Config&, const SpaceSetup&) {}
  Tensor embed(const Noised&, const Condition&, const Tensor& prediction) const override { return prediction.to(torch::kFloat32); }
};

}  // namespace

Member<ErrorSpace, SpaceSetup> output_space() { return member<Output, ErrorSpace, SpaceSetup>(); }

}  // namespace palate
