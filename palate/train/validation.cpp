#include "palate/train/validation.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/generator.h"

namespace palate {
namespace {

Tensor margin_of(const ObjectiveOutput& output) {
  const Tensor& reward = output.terms.reward;
  if (!reward.defined() || output.views != 2) return output.terms.logits;
  return reward.narrow(0, 0, output.examples) - reward.narrow(0, output.examples, output.examples);
}

}  // namespace

std::map<std::string, double> Validation::measure(const Objective& objective, Policy& policy) const {
  const torch::NoGradGuard no_grad;
  const auto count = static_cast<int64_t>(rows_.size());
  if (count == 0) return {};
  Tensor margins, loss = torch::zeros({}, torch::kFloat64);
  int64_t first = 0, size = 0;
  for (const auto& rows : source_.cache.batches(rows_, batch_)) {
    first += size;
    size = static_cast<int64_t>(rows.size());
    for (int64_t k = 0; k < draws_; ++k) {
      const Batch batch = source_.batch(rows, static_cast<uint64_t>(k));
      const ObjectiveOutput output = objective.measure(policy, batch, objective.draw_fixed(batch, source_.options.seed));
      // A pair whose pictures are judged one by one counts once, with its mean.
      loss += output.losses.detach().to(torch::kCPU, torch::kFloat64).sum() *
              (static_cast<double>(size) / static_cast<double>(output.losses.numel()));
      const Tensor margin = margin_of(output);
      if (!margin.defined()) continue;
      if (!margins.defined()) margins = torch::zeros({count}, torch::kFloat64);
      margins.narrow(0, first, size).add_(margin.detach().to(torch::kCPU, torch::kFloat64));
    }
  }
  std::map<std::string, double> measured;
  measured["held_out/loss"] = loss.item<double>() / static_cast<double>(count * draws_);
  if (margins.defined()) {
    margins /= static_cast<double>(draws_);
    measured["held_out/accuracy"] = (margins.gt(0).to(torch::kFloat64) + 0.5 * margins.eq(0).to(torch::kFloat64)).mean().item<double>();
    measured["held_out/margin"] = margins.mean().item<double>();
  }
  return measured;
}

std::vector<int64_t> Validation::choose(const std::vector<int64_t>& rows, int64_t count, uint64_t seed) {
  const auto total = static_cast<int64_t>(rows.size());
  if (count <= 0 || count >= total) return rows;
  const auto order =
      Generator({.seed = seed, .sample = stable_hash("held-out pairs"), .draw = 0, .purpose = Purpose::split}).permutation(total);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(rows[static_cast<size_t>(order[static_cast<size_t>(i)])]);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace palate
