// SPO, step-aware preference optimisation (Liang et al., 2406.04314), as RockeyCoss/SPO computes it; docs/objectives.md, section 5.4:
//
//   L = -log sigmoid(beta log r_w - beta log r_l),  r = clip(p / p_ref, 1 +- clip)
//
// for the best and the worst of some next states of one x_t, told apart by a judge that looks at the picture that each promises.
#include "palate/config/member.h"
#include "palate/objective/step_loss/surrogate.h"

namespace palate {
namespace {

struct SpoConfig {
  double beta = 10, clip = 0.1;
  void visit(Fields& f) {
    f("beta", beta, "steepness of the comparison of two steps' log-densities (means over dimensions); 10 in the paper's code", {.min = 0});
    f("clip", clip, "how far a step's ratio to the reference may go from 1 before it stops to count", {.min = 0, .max = 0.999});
    f.require(beta > 0, "objective.beta is 0: the loss would not depend on the model; 10 is usual for spo");
  }
};

class Spo : public StepLoss {
 public:
  using Config = SpoConfig;
  explicit Spo(const Config& config) : config_(config) {}
  StepNeeds needs() const override { return {.reference = true, .compares = Compares::candidates}; }
  LossOutput operator()(const StepStatistics& s) const override { return clipped_pair(s, config_.beta, config_.clip); }

 private:
  SpoConfig config_;
};

}  // namespace

Member<StepLoss> spo_loss() { return member<Spo, StepLoss>(); }

}  // namespace palate
