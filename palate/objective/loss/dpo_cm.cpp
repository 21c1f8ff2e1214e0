// DPO-C&M, clipping and masking, of 2505.21893: Diffusion-DPO with the importance weight before the loss (loss/importance_loss.h,
// docs/objectives.md, section 3). What it computes is derived from the paper's summaries: neither its formulas nor its code could be read.
#include "palate/config/member.h"
#include "palate/objective/loss/importance_loss.h"

namespace palate {
namespace {

struct DpoCmConfig : ImportanceLossConfig {
  DpoCmConfig() { weight = "outside"; }
};

class DpoCm : public ImportanceLoss {
 public:
  using Config = DpoCmConfig;
  explicit DpoCm(const Config& config) : ImportanceLoss(config) {}
};

}  // namespace

Member<Loss> dpo_cm_loss() { return member<DpoCm, Loss>(); }

}  // namespace palate
