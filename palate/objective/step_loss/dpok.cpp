// DPOK (Fan et al., 2305.16381): the policy gradient with a KL to the reference in every step; docs/objectives.md, section 5.2:
//
//   L = reward_weight max(-A ratio, -A clip(ratio, 1 +- clip)) + kl_weight KL,  KL = mean (mean - mean_ref)^2 / (2 std^2)
//
// The KL is that of two normal distributions of one deviation, as in the paper, and, as all densities here, a mean over dimensions.
#include "palate/config/member.h"
#include "palate/objective/step_loss/surrogate.h"

namespace palate {
namespace {

struct DpokConfig {
  double clip = 1e-4, advantage_clip = 5, reward_weight = 10, kl_weight = 0.01;
  void visit(Fields& f) {
    f("clip", clip, "how far a step's ratio to the old policy may go from 1 before it stops to count", {.min = 0, .max = 1});
    f("advantage_clip", advantage_clip, "largest advantage, in standard deviations of the reward", {.min = 0});
    f("reward_weight", reward_weight, "weight of the reward", {.min = 0});
    f("kl_weight", kl_weight, "weight of each step's KL to the reference (a mean over dimensions)", {.min = 0});
  }
};

class Dpok : public StepLoss {
 public:
  using Config = DpokConfig;
  explicit Dpok(const Config& config) : config_(config) {}
  StepNeeds needs() const override { return {.reference = true}; }
  LossOutput operator()(const StepStatistics& s) const override {
    LossOutput out = clipped_surrogate(s, config_.clip, config_.advantage_clip);
    out.loss = config_.reward_weight * out.loss + config_.kl_weight * s.kl;
    out.terms["kl"] = s.kl;
    return out;
  }

 private:
  DpokConfig config_;
};

}  // namespace

Member<StepLoss> dpok_loss() { return member<Dpok, StepLoss>(); }

}  // namespace palate
