// D3PO (Yang et al., 2311.13231), as yk7333/d3po computes it; docs/objectives.md, section 5.3:
//
//   L = -log sigmoid(beta log r_w - beta log r_l),  r = clip(p / p_ref, 1 +- clip)
//
// for the same step of two pictures of one prompt, of which one is preferred. The clip bounds |z| by beta (log(1 + clip) - log(1 - clip)),
// so at the published constants the loss stays at log 2 within 0.01.
#include "palate/config/member.h"
#include "palate/objective/step_loss/surrogate.h"

namespace palate {
namespace {

struct D3poConfig {
  double beta = 0.1, clip = 0.1;
  void visit(Fields& f) {
    f("beta", beta, "steepness of the comparison of two steps' log-densities (means over dimensions); 0.1 in the paper's code", {.min = 0});
    f("clip", clip, "how far a step's ratio to the reference may go from 1 before it stops to count", {.min = 0, .max = 0.999});
    f.require(beta > 0, "objective.beta is 0: the loss would not depend on the model; 0.1 is usual for d3po");
  }
};

class D3po : public StepLoss {
 public:
  using Config = D3poConfig;
  explicit D3po(const Config& config) : config_(config) {}
  StepNeeds needs() const override { return {.reference = true, .compares = Compares::paths}; }
  LossOutput operator()(const StepStatistics& s) const override { return clipped_pair(s, config_.beta, config_.clip); }

 private:
  D3poConfig config_;
};

}  // namespace

Member<StepLoss> d3po_loss() { return member<D3po, StepLoss>(); }

}  // namespace palate
