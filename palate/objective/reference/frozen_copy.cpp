// The reference is a second network, loaded once and never trained.
#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/reference.h"

namespace palate {
namespace {

class FrozenCopy : public Reference {
 public:
  using Config = NoConstants;
  FrozenCopy(const Config&, const ReferenceSetup& setup) : network_(load_denoiser(setup.denoiser_folder, setup.load)) {
    network_->module().eval();
    for (auto& parameter : network_->module().parameters()) parameter.requires_grad_(false);
  }
  Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
    return run(*network_, policy.condition(batch, Prompts::base));
  }

 private:
  std::unique_ptr<Denoiser> network_;
};

}  // namespace

Member<Reference, ReferenceSetup> frozen_copy_reference() { return member<FrozenCopy, Reference, ReferenceSetup>(); }

}  // namespace palate
