// Supervised fine-tuning on the winners: L = d_w (docs/objectives.md, section 13). Losers and the reference are not looked at.
#include "palate/config/member.h"
#include "palate/objective/loss.h"

namespace palate {
namespace {

class Sft : public Loss {
 public:
  using Config = NoConstants;
  explicit Sft(const Config&) {}
  Needs needs() const override { return {}; }
  LossOutput operator()(const Statistics& s, const Ranks&) const override { return {.loss = s.win(s.policy.d)}; }
};

}  // namespace

Member<Loss> sft_loss() { return member<Sft, Loss>(); }

}  // namespace palate
