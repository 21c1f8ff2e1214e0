// Direct Consistency Optimization (2402.12004): single pictures against the base model; docs/objectives.md, section 4.
//
//   z = k (d_ref - d),  k = beta               no half: beta in the paper's own convention
//   L = -log sigmoid(z)
//
// Once the policy is better than the base by a few 1 / beta, the gradient is gone. The base is asked for the base prompt: the class noun
// where the policy is asked for its new word.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"

namespace palate {
namespace {

struct DcoConfig {
  double beta = 1000;
  std::string beta_convention = "diffusers";

  void visit(Fields& f) {
    f("beta", beta, "strength of the tie to the reference; 1000 to 2000 in the paper (z = beta * margin, without the half)", {.min = 0});
    f("beta_convention", beta_convention,
      "palate: z = beta/2 * margin; diffusers: z = beta * margin, as the paper's code; per-T: z = 1000 beta/2 * margin",
      {.choices = {"palate", "diffusers", "per-T"}});
    f.require(beta > 0, "objective.beta is 0: the loss would not depend on the model; 1000 is usual");
  }
};

class Dco : public Loss {
 public:
  using Config = DcoConfig;
  explicit Dco(const Config& config) : config_(config) {}
  Needs needs() const override { return {.reference = true}; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor gain = s.win(s.reference.d) - s.win(s.policy.d), z = scale() * gain;
    return {.loss = -at::log_sigmoid(z), .logits = z, .reward = (scale() * (s.reference.d - s.policy.d)).detach()};
  }

 private:
  double scale() const {
    if (config_.beta_convention == "diffusers") return config_.beta;
    return config_.beta_convention == "per-T" ? 500 * config_.beta : config_.beta / 2;
  }
  DcoConfig config_;
};

}  // namespace

Member<Loss> dco_loss() { return member<Dco, Loss>(); }

}  // namespace palate
