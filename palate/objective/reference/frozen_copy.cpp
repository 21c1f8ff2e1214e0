// The reference is a second network, loaded once and never trained.
#include "palate/config/member.h"
#include "palate/objective/frozen_network.h"
#include "palate/objective/reference.h"

namespace palate {
namespace {

class FrozenCopy : public Reference {
 public:
  using Config = NoConstants;
  FrozenCopy(const Config&, const ReferenceSetup& setup) : network_(frozen_network(setup.denoiser_folder, setup.load)) {}
  Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
    return run(*network_, policy.condition(batch, Prompts::base));
  }

 private:
  std::shared_ptr<Denoiser> network_;
};

}  // namespace

Member<Reference, ReferenceSetup> frozen_copy_reference() { return member<FrozenCopy, Reference, ReferenceSetup>(); }

}  // namespace palate
