// Diffusion-DPO (2311.12908) and its relatives; docs/objectives.md, sections 0, 1 and 7.4.
//
//   m = (d_ref,w - d_ref,l) - (d_w - d_l)      margin of the policy over the reference, in units of the error
//   z = k m,  k = beta / 2                     beta in the paper's convention
//   sigmoid: -log sigmoid(z)      hinge: max(0, 1 - z)      ipo: (m - 1 / (2 k))^2
//
// IPO's target 1 / (2 tau) stands in units of the error, with tau = k: 2e-4 at k = 2500. With P the probability that the
// winner is preferred (label smoothing s mixes it: P (1 - s) + (1 - P) s) the loss is P l(m) + (1 - P) l(-m).
#include <torch/types.h>

#include "palate/objective/members.h"

namespace palate {
namespace {

class Dpo : public Loss {
 public:
  LossOutput operator()(const PairErrors& errors, const Draw&) const override {
    const double k = scale();
    const Tensor gain_win = errors.reference_win - errors.policy_win, gain_lose = errors.reference_lose - errors.policy_lose;
    const Tensor margin = gain_win - gain_lose;
    const Tensor preferred = errors.preference * (1 - 2 * label_smoothing_) + label_smoothing_;
    return {.loss = preferred * one_sided(margin, k) + (1 - preferred) * one_sided(-margin, k),
            .logits = k * margin,
            .reward_win = (k * gain_win).detach(),
            .reward_lose = (k * gain_lose).detach()};
  }
  bool needs_reference() const override { return true; }
  bool needs_loser() const override { return true; }

  void visit(Fields& f) override {
    f("beta", beta_, "strength of the tie to the reference; 2000 to 5000 is usual for U-Nets", {.min = 0});
    f("beta_convention", beta_convention_,
      "palate: z = beta/2 * margin, as the paper; diffusers: z = beta * margin; per-T: z = 1000 beta/2 * margin",
      {.choices = {"palate", "diffusers", "per-T"}});
    f("loss_type", loss_type_, "sigmoid (DPO), hinge, or ipo (a square around the margin 1/beta)",
      {.choices = {"sigmoid", "hinge", "ipo"}});
    f("label_smoothing", label_smoothing_, "share of labels taken to be wrong; 0 trusts them all", {.min = 0, .max = 0.5});
    f.require(beta_ > 0, "objective.beta is 0: the loss would not depend on the model; 2000 to 5000 is usual");
  }

 private:
  double scale() const {
    if (beta_convention_ == "diffusers") return beta_;
    return beta_convention_ == "per-T" ? 500 * beta_ : beta_ / 2;
  }
  Tensor one_sided(const Tensor& margin, double k) const {
    if (loss_type_ == "hinge") return at::relu(1 - k * margin);
    if (loss_type_ == "ipo") return (margin - 1 / (2 * k)).square();
    return -at::log_sigmoid(k * margin);
  }

  double beta_ = 5000, label_smoothing_ = 0;
  std::string beta_convention_ = "palate", loss_type_ = "sigmoid";
};

}  // namespace

std::shared_ptr<Loss> make_dpo() { return std::make_shared<Dpo>(); }

}  // namespace palate
