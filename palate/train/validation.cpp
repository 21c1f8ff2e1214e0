#include "palate/train/validation.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/generator.h"
#include "palate/objective/make_reference.h"

namespace palate {
namespace {

Tensor margin_of(const ObjectiveOutput& output) {
  if (output.terms.reward_win.defined() && output.terms.reward_lose.defined()) return output.terms.reward_win - output.terms.reward_lose;
  return output.terms.logits;
}

}  // namespace

std::map<std::string, double> Validation::measure(Objective& objective, Denoiser& policy) const {
  const torch::NoGradGuard no_grad;
  const auto count = static_cast<int64_t>(setup_.rows.size());
  if (count == 0) return {};
  Tensor margins, loss = torch::zeros({}, torch::kFloat64);
  int64_t first = 0, size = 0;
  for (const auto& rows : setup_.cache->batches(setup_.rows, setup_.batch)) {
    first += size;
    size = static_cast<int64_t>(rows.size());
    for (int64_t k = 0; k < setup_.draws; ++k) {
      const std::vector<uint64_t> draws(static_cast<size_t>(size), effective_draw(*setup_.objective, static_cast<uint64_t>(k)));
      PairBatch batch = setup_.cache->batch(rows, draws, setup_.options);
      Draw draw = objective.draw(batch, draws, setup_.options.seed);
      setup_.prepare(batch, &draw);
      const ObjectiveOutput output = objective.evaluate(policy, batch, draw, draws);
      loss += output.losses.detach().to(torch::kCPU, torch::kFloat64).sum();
      const Tensor margin = margin_of(output);
      if (!margin.defined()) continue;
      if (!margins.defined()) margins = torch::zeros({count}, torch::kFloat64);
      margins.narrow(0, first, size).add_(margin.detach().to(torch::kCPU, torch::kFloat64));
    }
  }
  std::map<std::string, double> measured;
  measured["held_out/loss"] = loss.item<double>() / static_cast<double>(count * setup_.draws);
  if (margins.defined()) {
    margins /= static_cast<double>(setup_.draws);
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

double Validation::value(const std::map<std::string, double>& measured) {
  const auto accuracy = measured.find("held_out/accuracy");
  return accuracy != measured.end() ? accuracy->second : -measured.at("held_out/loss");
}

}  // namespace palate
