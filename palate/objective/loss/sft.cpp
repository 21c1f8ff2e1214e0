// Supervised fine-tuning on the winners: L = d_w (docs/objectives.md, section 13). Losers and the reference are not looked at.
#include "palate/objective/members.h"

namespace palate {
namespace {

class Sft : public Loss {
 public:
  LossOutput operator()(const PairErrors& errors, const Draw&) const override {
    return {.loss = errors.policy_win, .logits = {}, .reward_win = {}, .reward_lose = {}};
  }
  bool needs_reference() const override { return false; }
  bool needs_loser() const override { return false; }
  void visit(Fields&) override {}
};

}  // namespace

std::shared_ptr<Loss> make_sft() { return std::make_shared<Sft>(); }

}  // namespace palate
