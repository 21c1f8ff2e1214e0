// Divergence minimization preference optimisation (2507.07510; AIDC-AI/Diffusion-SDPO, train.py): the reverse KL divergence from the
// preference that is aimed at to the one that the policy implies.
//
//   z as in DPO,  p = sigmoid(z),  q = 1 - alpha
//   L = p log(p / q) + (1 - p) log((1 - p) / (1 - q))
//
// Its least is at z = log((1 - alpha) / alpha), 4.6 for 0.01: unlike DPO's, a margin that is reached is left alone.
#include <torch/types.h>

#include <cmath>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {
namespace {

struct DmpoConfig {
  Beta beta{.beta = 2000, .beta_convention = "palate"};
  PairConstants pair;
  double dmpo_alpha = 0.01;

  void visit(Fields& f) {
    beta.visit(f, "strength of the tie to the reference; 2000 for SD1.5 and 6000 for SDXL in published code");
    f("dmpo_alpha", dmpo_alpha, "share of preferences that go the other way, which is aimed at; 0.01 in published code",
      {.min = 1e-6, .max = 0.5});
    pair.visit(f);
  }
};

class Dmpo : public Loss {
 public:
  using Config = DmpoConfig;
  explicit Dmpo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.reference = true, .rejected = true}; }
  Beta* strength() override { return &config_.beta; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const double k = config_.beta.k(), margin = config_.pair.margin;
    const Tensor gain = s.reference.d - s.policy.d;
    const Tensor m = s.win(gain) - s.lose(gain);
    return {.loss = config_.pair.expected(s, divergence(k * m - margin), divergence(-k * m - margin)),
            .logits = k * m - margin,
            .reward = (k * gain).detach(),
            .terms = config_.pair.terms(s)};
  }

 private:
  Tensor divergence(const Tensor& z) const {
    const double alpha = config_.dmpo_alpha;
    return at::sigmoid(z) * (at::log_sigmoid(z) - std::log1p(-alpha)) + at::sigmoid(-z) * (at::log_sigmoid(-z) - std::log(alpha));
  }

  DmpoConfig config_;
};

}  // namespace

Member<Loss> dmpo_loss() { return member<Dmpo, Loss>(); }

}  // namespace palate
