// What dpo-cm and sdpo share: they differ in where the importance weight stands.
#pragma once

#include <string>

#include "palate/objective/loss.h"
#include "palate/objective/loss/beta.h"
#include "palate/objective/loss/pair_constants.h"

namespace palate {

struct ImportanceLossConfig {
  Beta beta{.beta = 5000, .beta_convention = "palate"};
  PairConstants pair;
  std::string weight;  // inside | outside
  std::string importance = "expected", ratio = "posterior";
  double threshold = 0.9, quantile = 0, clip = 0.1;

  void visit(Fields& f);
};

// With w = p(x_s | x_t) / q(x_s | x_t, x0) of each picture (objective/importance.h; ratio = reference: p / p_ref), without gradients,
// and g = d_ref - d, k = beta / 2:
//
//   M = [min(w_w, w_l) >= threshold],  v = clip(w, 1 - clip, 1 + clip)
//   outside: z = k (g_w - g_l)           losses = M min(v_w, v_l) (-log sigmoid(z))
//   inside:  z = k (v_w g_w - v_l g_l)   losses = M (-log sigmoid(z))
//   loss = sum of losses / max(1, sum of M)
//
// quantile q > 0: in place of `threshold` stands the q-quantile of min(w_w, w_l) over the pass's own pairs (linear between neighbours, as
// torch.quantile), so a pass of one pair masks nothing; the timestep policy `importance` has a quantile over the whole run. A pass in which
// all is masked has loss 0. Margin, soft labels and anchor are dpo's; the anchor is masked but not weighed. The weights are of the step in
// the network's own output, whatever error space d is of.
//
// terms: `importance` min(w_w, w_l) as it is; `weight` the v that were used; `masked` 1 - M; `clipped` the share of unmasked weights that
// the clip changed. shown: weight_win, weight_lose (v), mask.
class ImportanceLoss : public Loss {
 public:
  explicit ImportanceLoss(const ImportanceLossConfig& config) : config_(config) {}
  Needs needs() const override;
  Beta* strength() override { return &config_.beta; }
  LossOutput operator()(const Statistics& statistics, const Ranks& ranks) const override;

 private:
  Tensor weights(const Statistics& s) const;  // w [2B]

  ImportanceLossConfig config_;
};

}  // namespace palate
