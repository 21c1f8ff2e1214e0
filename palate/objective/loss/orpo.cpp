// Odds-ratio preference optimisation (2403.07691) as diffusers' prototype has it for diffusion models, with its sign put right;
// docs/objectives.md, section 7.2.
//
//   z = d_l - d_w - margin,  L = d_w - beta log sigmoid(z)
//
// The prototype has d_w - d_l, which rewards a larger error on the preferred picture. d_w stands as the anchor.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {
namespace {

struct OrpoConfig {
  double beta = 0.1;
  PairConstants pair{.anchor = 1};

  void visit(Fields& f) {
    f("beta", beta, "weight of the comparison beside the preferred picture's own error; 0.1 in diffusers' prototype", {.min = 0});
    pair.visit(f);
    f.require(beta > 0 || pair.anchor > 0, "objective.beta and objective.anchor are both 0: the loss would be 0; 0.1 and 1 are usual");
  }
};

class Orpo : public Loss {
 public:
  using Config = OrpoConfig;
  explicit Orpo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.rejected = true}; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor m = s.lose(s.policy.d) - s.win(s.policy.d);
    const double beta = config_.beta, margin = config_.pair.margin;
    return {.loss = config_.pair.expected(s, -beta * at::log_sigmoid(m - margin), -beta * at::log_sigmoid(-m - margin)),
            .logits = m - margin,
            .terms = config_.pair.terms(s)};
  }

 private:
  OrpoConfig config_;
};

}  // namespace

Member<Loss> orpo_loss() { return member<Orpo, Loss>(); }

}  // namespace palate
