// The reference is a second network, loaded once and never trained.
#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/objective/members.h"
#include "palate/objective/noising.h"

namespace palate {
namespace {

class FrozenCopy : public Reference {
 public:
  explicit FrozenCopy(std::unique_ptr<Denoiser> network) : network_(std::move(network)) {}
  std::pair<Tensor, Tensor> errors(const Request& r) override {
    const torch::NoGradGuard no_grad;
    return branch_errors(*network_, r.batch, r.draw, r.schedule, r.space, r.with_loser);
  }

 private:
  std::unique_ptr<Denoiser> network_;
};

}  // namespace

std::unique_ptr<Reference> make_frozen_copy(const ObjectiveConfig&, const ReferenceSetup& setup) {
  auto network = load_denoiser(setup.denoiser_folder, setup.load);
  network->module().eval();
  for (auto& parameter : network->module().parameters()) parameter.requires_grad_(false);
  return std::make_unique<FrozenCopy>(std::move(network));
}

}  // namespace palate
