// Bradley and Terry (1952), as PickScore (2305.01569) trains, and with ties of their own Rao and Kupper (1967), as VideoAlign (2501.13918).
//
//   d = s_1 - s_2
//   half:        P(1 > 2) = sigmoid(d); a tie is half a win of either
//   rao-kupper:  P(1 > 2) = sigmoid(d - log theta),  P(tie) = (theta^2 - 1) P(1 > 2) P(2 > 1): the three are 1 together
//
// A label P is a win with the weight max(0, 2 P - 1), a tie with 1 - |2 P - 1|, a loss with max(0, 1 - 2 P); so under `half` the loss is
// -[P log sigmoid(d) + (1 - P) log sigmoid(-d)]. Label smoothing takes that share of wins for losses and of losses for wins.
#include "palate/objective/bradley_terry.h"

#include <torch/types.h>

#include <cmath>

namespace palate {

void BradleyTerryConfig::visit(Fields& f) {
  f("ties", ties, "half: a tie is half a win of either picture; rao-kupper: an outcome of its own, likely where scores are near",
    {.choices = {"half", "rao-kupper"}});
  f("theta", theta, "of rao-kupper: how wide ties reach; two pictures of equal scores tie with probability (theta - 1) / (theta + 1)",
    {.min = 1});
  f("label_smoothing", label_smoothing, "share of labels taken to be wrong; 0 trusts them all", {.min = 0, .max = 0.5});
  f.require(ties != "rao-kupper" || theta > 1, "reward.theta is 1: then no two pictures tie, and a tie costs infinitely much; 5 is usual");
}

Tensor bradley_terry(const BradleyTerryConfig& config, const Tensor& first, const Tensor& second, const Tensor& label) {
  const bool rao_kupper = config.ties == "rao-kupper";
  const Tensor d = first - second, surplus = 2 * label - 1;
  const double shift = rao_kupper ? std::log(config.theta) : 0;
  const Tensor win = -at::log_sigmoid(d - shift), lose = -at::log_sigmoid(-d - shift);
  const Tensor tie = rao_kupper ? win + lose - std::log(config.theta * config.theta - 1) : (win + lose) / 2;
  const double kept = 1 - config.label_smoothing, turned = config.label_smoothing;
  const Tensor wins = surplus.clamp_min(0), losses = (-surplus).clamp_min(0);
  return (kept * wins + turned * losses) * win + (kept * losses + turned * wins) * lose + (1 - surplus.abs()) * tie;
}

}  // namespace palate
