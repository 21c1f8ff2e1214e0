// Diffusion-DPO (2311.12908) and its relatives; docs/objectives.md, sections 0, 1 and 7.4.
//
//   m = (d_ref,w - d_ref,l) - (d_w - d_l)      margin of the policy over the reference, in units of the error
//   z = k m - margin,  k = beta / 2            beta in the paper's convention
//   sigmoid, robust: -log sigmoid(z)      hinge: max(0, 1 - z)      ipo: (z / k - 1 / (2 k))^2
//
// IPO's target 1 / (2 tau) stands in units of the error, with tau = k: 2e-4 at k = 2500. With P the probability that the
// winner is preferred the loss is P l(m) + (1 - P) l(-m). Label smoothing s makes P (1 - s) + (1 - P) s of it, the expectation over
// wrong labels; `robust` (2403.00409) makes (P - s) / (1 - 2 s) of it, whose expectation over them is the loss on the right ones.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {
namespace {

struct DpoConfig {
  Beta beta{.beta = 5000, .beta_convention = "palate"};
  PairConstants pair;
  std::string loss_type = "sigmoid";

  void visit(Fields& f) {
    beta.visit(f, "strength of the tie to the reference; 2000 to 5000 is usual for U-Nets");
    f("loss_type", loss_type,
      "sigmoid (DPO), hinge, ipo (a square around the margin 1/beta), or robust (unbiased where a share label_smoothing of the labels is "
      "wrong)",
      {.choices = {"sigmoid", "hinge", "ipo", "robust"}});
    pair.visit(f);
    f.require(loss_type != "robust" || pair.label_smoothing < 0.5,
              "objective.label_smoothing: with half of the labels wrong nothing can be learned from them: robust needs less than 0.5");
  }
};

class Dpo : public Loss {
 public:
  using Config = DpoConfig;
  explicit Dpo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.reference = true, .rejected = true}; }
  Beta* strength() override { return &config_.beta; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor gain = s.reference.d - s.policy.d;
    const Tensor m = s.win(gain) - s.lose(gain);
    return {.loss = config_.pair.expected(s, preferred(s), one_sided(m), one_sided(-m)),
            .logits = z(m),
            .reward = (k() * gain).detach(),
            .terms = config_.pair.terms(s)};
  }

 private:
  double k() const { return config_.beta.k(); }
  Tensor z(const Tensor& m) const { return k() * m - config_.pair.margin; }
  Tensor preferred(const Statistics& s) const {
    const double share = config_.pair.label_smoothing;
    return config_.loss_type == "robust" ? (s.batch.label - share) / (1 - 2 * share) : config_.pair.smoothed(s);
  }
  Tensor one_sided(const Tensor& m) const {
    if (config_.loss_type == "hinge") return at::relu(1 - z(m));
    if (config_.loss_type == "ipo") return (m - (config_.pair.margin + 0.5) / k()).square();
    return -at::log_sigmoid(z(m));
  }

  DpoConfig config_;
};

}  // namespace

Member<Loss> dpo_loss() { return member<Dpo, Loss>(); }

}  // namespace palate
