// Direct consistency optimisation (2402.12004): a few pictures of a subject or style, all of them good; docs/objectives.md, section 4.
//
//   z = -beta w (d - d_ref),  L = -log sigmoid(z)      w: of min-SNR, 1 without it
//
// The reference is asked for the base prompt, in which a new word reads as its class. A picture of the class (prior preservation) is
// plain: L = d, times its weight.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"

namespace palate {
namespace {

struct DcoConfig {
  Beta beta{.beta = 1000, .beta_convention = "diffusers"};
  void visit(Fields& f) { beta.visit(f, "strength of the tie to the reference; 1000 to 2000 for SDXL, less for smaller models"); }
};

class Dco : public Loss {
 public:
  using Config = DcoConfig;
  explicit Dco(const Config& config) : config_(config) {}
  Needs needs() const override { return {.reference = true, .error_weight = true}; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor d = s.policy.d, gain = s.reference.d - d, w = s.noised.error_weight, prior = s.batch.prior;
    const Tensor z = config_.beta.k() * (w.defined() ? w * gain : gain), learned = -at::log_sigmoid(z);
    LossOutput out{.loss = learned, .logits = z, .reward = z.detach()};
    if (!prior.defined()) return out;
    out.loss = at::where(prior, d, learned);
    out.terms["prior"] = d * prior;
    return out;
  }
  Beta* strength() override { return &config_.beta; }

 private:
  DcoConfig config_;
};

}  // namespace

Member<Loss> dco_loss() { return member<Dco, Loss>(); }

}  // namespace palate
