// What every loss on pairs has: a margin, labels that may be wrong, and an anchor (docs/objectives.md, sections 1 and 14).
#pragma once

#include <torch/types.h>

#include "palate/config/fields.h"
#include "palate/objective/statistics.h"

namespace palate {

struct PairConstants {
  double margin = 0, label_smoothing = 0, anchor = 0;

  void visit(Fields& f) {
    f("margin", margin, "subtracted from z: how far the preferred picture has to be ahead; 0 in most papers", {.aliases = {"simpo_gamma"}});
    f("label_smoothing", label_smoothing, "share of labels taken to be wrong; 0 trusts them all", {.min = 0, .max = 0.5});
    f("anchor", anchor, "weight of the preferred picture's own error, added to the loss: holds on to it; 0: none",
      {.min = 0, .aliases = {"cpo_alpha", "rpo_alpha"}});
  }

  // [B], P': that the first view is preferred, if a share of the labels is wrong.
  Tensor smoothed(const Statistics& s) const { return s.batch.label * (1 - 2 * label_smoothing) + label_smoothing; }

  // The mean over which of the two is preferred: `first` [B] is the loss where the first view is, `second` where the second one is. `p`
  // [B] is the probability of the first: P' or what a loss makes of it. The anchor is on the data's own labels.
  Tensor expected(const Statistics& s, const Tensor& p, const Tensor& first, const Tensor& second) const {
    const Tensor loss = p * first + (1 - p) * second;
    return anchor > 0 ? loss + anchored(s) : loss;
  }
  Tensor expected(const Statistics& s, const Tensor& first, const Tensor& second) const { return expected(s, smoothed(s), first, second); }
  Tensor anchored(const Statistics& s) const {
    const Tensor& p = s.batch.label;
    return anchor * (p * s.win(s.policy.d) + (1 - p) * s.lose(s.policy.d));
  }
  // The anchor's share of the loss, for the log.
  std::map<std::string, Tensor> terms(const Statistics& s) const {
    if (anchor > 0) return {{"anchor", anchored(s).detach()}};
    return {};
  }
};

}  // namespace palate
