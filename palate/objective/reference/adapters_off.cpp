// The reference is the policy with its adapters switched off: no second copy of the weights.
#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/reference.h"

namespace palate {
namespace {

class AdaptersOffReference : public Reference {
 public:
  using Config = NoConstants;
  AdaptersOffReference(const Config&, const ReferenceSetup& setup) {
    check<UsageError>(setup.policy != nullptr,
                      "objective.reference is adapters_off, but the whole network is trained and has no adapters: "
                      "choose frozen_copy or cached");
  }
  Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
    const AdaptersOff off;
    return run(policy.network, policy.condition(batch, Prompts::base));
  }
};

}  // namespace

Member<Reference, ReferenceSetup> adapters_off_reference() { return member<AdaptersOffReference, Reference, ReferenceSetup>(); }

}  // namespace palate
