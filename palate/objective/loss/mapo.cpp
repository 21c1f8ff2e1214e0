// Margin-aware preference optimisation (2406.06424; mapo-t2i/mapo); docs/objectives.md, section 7.1.
//
//   h(d) = c d / (exp(c d) - 1)               falls from 1 at d = 0: the likelihood that an error stands for
//   z = scale (h(d_w) - h(d_l)) - margin,  L = d_w - beta log sigmoid(z)
//
// d_w stands as the anchor. h is bounded, so the rejected picture's error cannot be driven up for ever.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {
namespace {

struct MapoConfig {
  double beta = 0.1, snr_value = 0.5, mapo_scale = 1000;
  PairConstants pair{.anchor = 1};

  void visit(Fields& f) {
    f("beta", beta, "weight of the comparison beside the preferred picture's own error; 0.1 in the paper", {.min = 0});
    f("snr_value", snr_value, "c of h(d) = c d / (exp(c d) - 1), the likelihood that an error stands for; 0.5 in the paper's code",
      {.min = 1e-6});
    f("mapo_scale", mapo_scale, "factor of the difference of h in z: the number of timesteps in the paper", {.min = 1e-6});
    pair.visit(f);
    f.require(beta > 0 || pair.anchor > 0, "objective.beta and objective.anchor are both 0: the loss would be 0; 0.1 and 1 are usual");
  }
};

class Mapo : public Loss {
 public:
  using Config = MapoConfig;
  explicit Mapo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.rejected = true}; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor score = likelihood(config_.snr_value * s.policy.d);
    const Tensor m = config_.mapo_scale * (s.win(score) - s.lose(score));
    const double beta = config_.beta, margin = config_.pair.margin;
    LossOutput out{.loss = config_.pair.expected(s, -beta * at::log_sigmoid(m - margin), -beta * at::log_sigmoid(-m - margin)),
                   .logits = m - margin,
                   .terms = config_.pair.terms(s)};
    out.terms["score_win"] = s.win(score).detach();
    out.terms["score_lose"] = s.lose(score).detach();
    return out;
  }

 private:
  // x / (exp(x) - 1), and its limit 1 - x/2 at 0, where the quotient and its derivative are 0 / 0.
  static Tensor likelihood(const Tensor& x) {
    const Tensor small = x.lt(1e-4);
    const Tensor safe = at::where(small, at::ones_like(x), x);
    return at::where(small, 1 - x / 2 + x.square() / 12, safe / at::expm1(safe));
  }

  MapoConfig config_;
};

}  // namespace

Member<Loss> mapo_loss() { return member<Mapo, Loss>(); }

}  // namespace palate
