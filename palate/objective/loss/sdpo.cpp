// SDPO, "importance-sampled direct preference optimisation", of 2505.21893, later called SIPO: the importance weights inside the logits
// (loss/importance_loss.h, docs/objectives.md, section 3). Not Diffusion-SDPO (2511.03317), not TRL's self-distilled policy optimisation,
// not stepwise decomposition (2507.04832). The authors withdrew the proof of the main theorem; neither formulas nor code could be read.
#include "palate/config/member.h"
#include "palate/objective/loss/importance_loss.h"

namespace palate {
namespace {

struct SdpoConfig : ImportanceLossConfig {
  SdpoConfig() { weight = "inside"; }
};

class Sdpo : public ImportanceLoss {
 public:
  using Config = SdpoConfig;
  explicit Sdpo(const Config& config) : ImportanceLoss(config) {}
};

}  // namespace

Member<Loss> sdpo_loss() { return member<Sdpo, Loss>(); }

}  // namespace palate
