// DDPO (Black et al., 2305.13301), as kvablack/ddpo-pytorch computes it; docs/objectives.md, section 5.1:
//
//   L = max(-A ratio, -A clip(ratio, 1 +- clip)),  ratio = p(x_s | x_t) / p_old(x_s | x_t)
//
// with the picture's advantage A. The density is a mean over dimensions, hence the small clip. No tie to a reference.
#include "palate/config/member.h"
#include "palate/objective/step_loss/surrogate.h"

namespace palate {
namespace {

struct DdpoConfig {
  double clip = 1e-4, advantage_clip = 5;
  void visit(Fields& f) {
    f("clip", clip, "how far a step's ratio to the old policy may go from 1 before it stops to count", {.min = 0, .max = 1});
    f("advantage_clip", advantage_clip, "largest advantage, in standard deviations of the reward", {.min = 0});
  }
};

class Ddpo : public StepLoss {
 public:
  using Config = DdpoConfig;
  explicit Ddpo(const Config& config) : config_(config) {}
  StepNeeds needs() const override { return {}; }
  LossOutput operator()(const StepStatistics& s) const override { return clipped_surrogate(s, config_.clip, config_.advantage_clip); }

 private:
  DdpoConfig config_;
};

}  // namespace

Member<StepLoss> ddpo_loss() { return member<Ddpo, StepLoss>(); }

}  // namespace palate
