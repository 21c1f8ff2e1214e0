// Contrastive preference optimisation (2401.08417) of diffusion models, as NCP (2406.17636) has it; docs/objectives.md, section 7.3.
//
//   z = beta (d_l - d_w) - margin,  L = -log sigmoid(z) + anchor d_w
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {
namespace {

struct CpoConfig {
  Beta beta{.beta = 2500, .beta_convention = "diffusers"};
  PairConstants pair{.anchor = 1};

  void visit(Fields& f) {
    beta.visit(f, "steepness of the comparison; 2500 as in NCP");
    pair.visit(f);
  }
};

class Cpo : public Loss {
 public:
  using Config = CpoConfig;
  explicit Cpo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.rejected = true}; }
  Beta* strength() override { return &config_.beta; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor m = s.lose(s.policy.d) - s.win(s.policy.d);
    return {
        .loss = config_.pair.expected(s, -at::log_sigmoid(z(m)), -at::log_sigmoid(z(-m))), .logits = z(m), .terms = config_.pair.terms(s)};
  }

 private:
  Tensor z(const Tensor& m) const { return config_.beta.k() * m - config_.pair.margin; }

  CpoConfig config_;
};

}  // namespace

Member<Loss> cpo_loss() { return member<Cpo, Loss>(); }

}  // namespace palate
