// DreamBooth (2208.12242): a subject's pictures, and pictures of its class made by the base model, which keep it from forgetting the class
// (prior preservation); docs/objectives.md, section 10.
//
//   L = d        the mean over the batch is of weight * d: 1 for the subject's pictures, lambda for those of the class
//
// A batch mixes both kinds, each picture with timestep and noise of its own. With as many of each this is half of diffusers' sum of two
// means, mean over subject + lambda mean over class.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"

namespace palate {
namespace {

class Dreambooth : public Loss {
 public:
  using Config = NoConstants;
  explicit Dreambooth(const Config&) {}
  Needs needs() const override { return {}; }
  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    LossOutput out{.loss = s.policy.d};
    if (s.batch.prior.defined()) out.terms["prior"] = s.policy.d * s.batch.prior;
    return out;
  }
};

}  // namespace

Member<Loss> dreambooth_loss() { return member<Dreambooth, Loss>(); }

}  // namespace palate
