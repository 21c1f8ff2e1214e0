// Flow-GRPO's objective (Liu et al., 2505.05470) on the steps of a model with a table of betas; docs/objectives.md, section 5.5:
//
//   L = max(-A ratio, -A clip(ratio, 1 +- clip)) + kl_weight KL,  KL = mean (mean - mean_ref)^2 / (2 std^2)
//
// with A = (r - mean) / std over the pictures of one prompt. The paper's own step is a flow's; its formula needs a draw with a density and
// no more, which DDIM's step with eta above 0 is.
#include "palate/config/member.h"
#include "palate/objective/step_loss/surrogate.h"

namespace palate {
namespace {

struct FlowGrpoConfig {
  double clip = 1e-4, advantage_clip = 5, kl_weight = 0.04;
  void visit(Fields& f) {
    f("clip", clip, "how far a step's ratio to the old policy may go from 1 before it stops to count", {.min = 0, .max = 1});
    f("advantage_clip", advantage_clip, "largest advantage, in standard deviations of the reward", {.min = 0});
    f("kl_weight", kl_weight, "weight of each step's KL to the reference (a mean over dimensions)", {.min = 0});
  }
};

class FlowGrpo : public StepLoss {
 public:
  using Config = FlowGrpoConfig;
  explicit FlowGrpo(const Config& config) : config_(config) {}
  StepNeeds needs() const override { return {.reference = true, .groups = true}; }
  LossOutput operator()(const StepStatistics& s) const override {
    LossOutput out = clipped_surrogate(s, config_.clip, config_.advantage_clip);
    out.loss = out.loss + config_.kl_weight * s.kl;
    out.terms["kl"] = s.kl;
    return out;
  }

 private:
  FlowGrpoConfig config_;
};

}  // namespace

Member<StepLoss> flow_grpo_loss() { return member<FlowGrpo, StepLoss>(); }

}  // namespace palate
