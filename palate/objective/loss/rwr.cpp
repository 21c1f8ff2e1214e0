// Reward-weighted regression (2302.12192, 2305.13301): pictures with a reward r each; docs/objectives.md, section 13.
//
//   L = w d,  w = exp(r / temperature) / mean of exp(r / temperature) over all pictures that are drawn from
//
// so that the mean weight is 1, whatever a batch holds, and the learning rate means what it means for `sft`.
#include <torch/types.h>

#include <cmath>

#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/objective/loss.h"

namespace palate {
namespace {

struct RwrConfig {
  double temperature = 1;
  void visit(Fields& f) {
    f("temperature", temperature, "in units of the reward: pictures this much better weigh e times as much; large: all weigh alike",
      {.min = 0});
    f.require(temperature > 0, "objective.temperature is 0: the best picture alone would count; 1 is usual");
  }
};

class Rwr : public Loss {
 public:
  using Config = RwrConfig;
  explicit Rwr(const Config& config) : config_(config) {}
  Needs needs() const override { return {.rewards = true}; }

  void set_rewards(const Tensor& all) override {
    check<UsageError>(all.defined() && all.numel() > 0, "objective.loss 'rwr': expected the rewards of all pictures, found none");
    const Tensor shares = (all.to(torch::kFloat64) / config_.temperature).softmax(0);
    log_info("rwr: rewards from ", all.min().item<double>(), " to ", all.max().item<double>(), "; the weights amount to ",
             std::round(10 / shares.square().sum().item<double>()) / 10, " of ", all.numel(), " pictures");
    level_ = (all.to(torch::kFloat64) / config_.temperature).logsumexp(0).item<double>() - std::log(static_cast<double>(all.numel()));
  }

  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor weight = (s.batch.reward.to(torch::kFloat64) / config_.temperature - level_).exp().to(s.policy.d.dtype());
    return {.loss = weight * s.policy.d, .terms = {{"reward", s.batch.reward}, {"reward_weight", weight}}};
  }

 private:
  RwrConfig config_;
  double level_ = 0;  // log of the mean of exp(r / temperature)
};

}  // namespace

Member<Loss> rwr_loss() { return member<Rwr, Loss>(); }

}  // namespace palate
