// The reference is the policy with its adapters switched off: no second copy of the weights.
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/members.h"
#include "palate/objective/noising.h"

namespace palate {
namespace {

class AdaptersOffReference : public Reference {
 public:
  std::pair<Tensor, Tensor> errors(const Request& r) override {
    const torch::NoGradGuard no_grad;
    const AdaptersOff off;
    return branch_errors(r.policy, r.batch, r.draw, r.schedule, r.space, r.with_loser);
  }
};

}  // namespace

std::unique_ptr<Reference> make_adapters_off(const ObjectiveConfig&, const ReferenceSetup& setup) {
  check<UsageError>(setup.policy != nullptr,
                    "objective.reference is adapters_off, but the whole network is trained and has no adapters: "
                    "choose frozen_copy or cached");
  return std::make_unique<AdaptersOffReference>();
}

}  // namespace palate
