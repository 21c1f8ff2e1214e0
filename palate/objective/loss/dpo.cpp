// Diffusion-DPO (2311.12908) and its relatives; docs/objectives.md, sections 0, 1 and 7.4.
//
//   m = (d_ref,w - d_ref,l) - (d_w - d_l)      margin of the policy over the reference, in units of the error
//   z = k m,  k = beta / 2                     beta in the paper's convention
//   sigmoid: -log sigmoid(z)      hinge: max(0, 1 - z)      ipo: (m - 1 / (2 k))^2
//
// IPO's target 1 / (2 tau) stands in units of the error, with tau = k: 2e-4 at k = 2500. With P the probability that the
// winner is preferred (label smoothing s mixes it: P (1 - s) + (1 - P) s) the loss is P l(m) + (1 - P) l(-m).
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"

namespace palate {
namespace {

struct DpoConfig {
  double beta = 5000, label_smoothing = 0;
  std::string beta_convention = "palate", loss_type = "sigmoid";

  void visit(Fields& f) {
    f("beta", beta, "strength of the tie to the reference; 2000 to 5000 is usual for U-Nets", {.min = 0});
    f("beta_convention", beta_convention,
      "palate: z = beta/2 * margin, as the paper; diffusers: z = beta * margin; per-T: z = 1000 beta/2 * margin",
      {.choices = {"palate", "diffusers", "per-T"}});
    f("loss_type", loss_type, "sigmoid (DPO), hinge, or ipo (a square around the margin 1/beta)", {.choices = {"sigmoid", "hinge", "ipo"}});
    f("label_smoothing", label_smoothing, "share of labels taken to be wrong; 0 trusts them all", {.min = 0, .max = 0.5});
    f.require(beta > 0, "objective.beta is 0: the loss would not depend on the model; 2000 to 5000 is usual");
  }
};

class Dpo : public Loss {
 public:
  using Config = DpoConfig;
  explicit Dpo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.reference = true, .rejected = true}; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const double k = scale();
    const Tensor gain = s.reference.d - s.policy.d;
    const Tensor gain_win = s.win(gain), gain_lose = s.lose(gain);
    const Tensor margin = gain_win - gain_lose;
    const Tensor preferred = s.batch.label * (1 - 2 * config_.label_smoothing) + config_.label_smoothing;
    return {.loss = preferred * one_sided(margin, k) + (1 - preferred) * one_sided(-margin, k),
            .logits = k * margin,
            .reward = (k * gain).detach()};
  }

 private:
  double scale() const {
    if (config_.beta_convention == "diffusers") return config_.beta;
    return config_.beta_convention == "per-T" ? 500 * config_.beta : config_.beta / 2;
  }
  Tensor one_sided(const Tensor& margin, double k) const {
    if (config_.loss_type == "hinge") return at::relu(1 - k * margin);
    if (config_.loss_type == "ipo") return (margin - 1 / (2 * k)).square();
    return -at::log_sigmoid(k * margin);
  }

  DpoConfig config_;
};

}  // namespace

Member<Loss> dpo_loss() { return member<Dpo, Loss>(); }

}  // namespace palate
