// Direct score preference optimisation (ICLR 2025; huaishengzhu/DSPO), in the two forms of its code; docs/objectives.md, section 8.
//
//   z as in DPO;  move = p_w - pref_w, what policy and reference predict on the preferred picture
//   sd15:  L = mean (p_w - target - beta (1 - sigmoid(z)) move)^2
//   sdxl:  L = (1 - sigmoid(z))^2 mean(move^2) where mean(move^2) >= 0.1, else (1 - sigmoid(z))^2
//
// sigmoid(z) has its gradient. The beta outside of z is the paper's, whatever the convention of the one that is given. The code decides
// sdxl's branch by the mean over the batch; here each pair has its own, so that a loss depends on no other pair of its batch.
#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {
namespace {

struct DspoConfig {
  Beta beta{.beta = 0.001, .beta_convention = "palate"};
  PairConstants pair;
  std::string form = "sd15";

  void visit(Fields& f) {
    beta.visit(f, "in z, and of form = sd15 the push away from the reference: 0.001 to 0.05 for sd15, 1000 to 5000 for sdxl");
    f("form", form, "sd15: the winner's error with a push away from the reference; sdxl: the gate alone, with no term of the winner's",
      {.choices = {"sd15", "sdxl"}});
    pair.visit(f);
    f.require(form == "sdxl" || !beta.automatic(),
              "objective.beta: \"auto\" asks for the size of z alone, and with form = sd15 beta is a weight too: give a number");
  }
};

class Dspo : public Loss {
 public:
  using Config = DspoConfig;
  explicit Dspo(const Config& config) : config_(config) {}
  Needs needs() const override { return {.reference = true, .rejected = true, .residuals = true}; }
  Beta* strength() override { return config_.form == "sdxl" ? &config_.beta : nullptr; }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const double k = config_.beta.k(), margin = config_.pair.margin;
    const Tensor gain = s.reference.d - s.policy.d;
    const Tensor m = s.win(gain) - s.lose(gain), z = k * m - margin;
    const auto side = [&](const Tensor& logits, int64_t view) {
      const auto of_view = [&](const Tensor& rows) { return view == 0 ? s.win(rows) : s.lose(rows); };
      return one_sided(at::sigmoid(-logits), of_view(s.policy.residual), of_view(s.reference.residual));
    };
    return {.loss = config_.pair.expected(s, side(z, 0), side(-k * m - margin, 1)),
            .logits = z,
            .reward = (k * gain).detach(),
            .terms = config_.pair.terms(s)};
  }

 private:
  // gate: 1 - sigmoid(z), [B]
  Tensor one_sided(const Tensor& gate, const Tensor& residual, const Tensor& reference) const {
    const Tensor move = residual - reference;
    if (config_.form == "sd15") {
      const Tensor error = residual - 2 * config_.beta.k() * per_sample(gate, move) * move;
      return Statistics::inner(error, error);
    }
    const Tensor size = Statistics::inner(move, move);
    return gate.square() * at::where(size.ge(0.1), size, at::ones_like(size));
  }

  DspoConfig config_;
};

}  // namespace

Member<Loss> dspo_loss() { return member<Dspo, Loss>(); }

}  // namespace palate
