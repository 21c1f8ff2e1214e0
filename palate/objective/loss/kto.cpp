// Diffusion-KTO (2404.04465): single pictures with a thumb up (y = 1) or down (y = -1); docs/objectives.md, section 6.
//
//   g = d_ref - d                          the implicit reward, in units of the error
//   Q = max(0, mean of g)                  over the batch and all ranks, without gradients
//   L = lambda_y (1 - sigmoid(k y (g - Q)))   k = beta: the paper has no half
//
// Of a pair both pictures are looked at, each with noise and timestep of its own: the preferred one has the thumb up.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"

namespace palate {
namespace {

struct KtoConfig {
  Beta beta{.beta = 1000, .beta_convention = "diffusers"};
  double desirable_weight = 1, undesirable_weight = 1;

  void visit(Fields& f) {
    beta.visit(f, "strength of the tie to the reference; 1000 in the paper", {"kto_beta"});
    f("desirable_weight", desirable_weight, "weight of pictures with a thumb up", {.min = 0});
    f("undesirable_weight", undesirable_weight, "weight of pictures with a thumb down", {.min = 0});
    f.require(desirable_weight > 0 || undesirable_weight > 0,
              "objective.desirable_weight and undesirable_weight are both 0: the loss would be 0; 1 is usual for both");
  }
};

class Kto : public Loss {
 public:
  using Config = KtoConfig;
  explicit Kto(const Config& config) : config_(config) {}

  // With one picture Q would be its own reward, and the loss a constant.
  Needs needs() const override { return {.reference = true, .labels = true, .least_batch = 2}; }
  Beta* strength() override { return &config_.beta; }

  LossOutput operator()(const Statistics& s, const Ranks& ranks) const override {
    const double k = config_.beta.k();
    const Tensor gain = s.reference.d - s.policy.d, y = s.batch.label;
    const Tensor kl = ranks.mean(gain.detach().mean()).clamp_min(0);
    const Tensor z = k * y * (gain - kl);
    const Tensor weight = y.gt(0).to(z.dtype()) * config_.desirable_weight + y.le(0).to(z.dtype()) * config_.undesirable_weight;
    return {.loss = weight * at::sigmoid(-z), .logits = z, .reward = (k * gain).detach(), .terms = {{"kl", k * kl}}};
  }

 private:
  KtoConfig config_;
};

}  // namespace

Member<Loss> kto_loss() { return member<Kto, Loss>(); }

}  // namespace palate
