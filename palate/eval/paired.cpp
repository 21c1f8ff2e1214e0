#include "palate/eval/paired.h"

#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"

namespace palate {
namespace {

// Gains grouped by prompt, without the requests whose score is NaN on either side.
std::vector<std::vector<double>> grouped(const Tensor& base, const Tensor& ours, const std::vector<GenerateRequest>& requests) {
  std::map<std::string, std::vector<double>> by_prompt;
  const double* a = base.const_data_ptr<double>();
  const double* b = ours.const_data_ptr<double>();
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!std::isnan(a[i]) && !std::isnan(b[i])) by_prompt[requests[i].prompt].push_back(b[i] - a[i]);
  }
  std::vector<std::vector<double>> gains;
  for (auto& [prompt, values] : by_prompt) gains.push_back(std::move(values));
  return gains;
}

}  // namespace

Side make_side(const std::string& name, Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const GenerateOptions& options,
               Judge& judge) {
  std::vector<std::string> prompts;
  for (const auto& request : requests) prompts.push_back(request.prompt);
  Side side{name, pipeline.generate(requests, options), {}};
  side.scores = judge.score(side.images, prompts);
  return side;
}

std::vector<GenerateRequest> paired_requests(const std::vector<std::string>& prompts, int64_t repeats) {
  std::vector<GenerateRequest> requests;
  for (const auto& prompt : prompts) {
    for (int64_t r = 0; r < repeats; ++r) requests.push_back({prompt, mix(stable_hash(prompt), static_cast<uint64_t>(r))});
  }
  return requests;
}

Comparison compare(const Side& base, const Side& ours, const std::vector<GenerateRequest>& requests, double tie_margin, uint64_t seed) {
  const int64_t n = static_cast<int64_t>(requests.size());
  check(base.scores.total.numel() == n && ours.scores.total.numel() == n, "[compare] expected ", n, " scores on each side, got ",
        base.scores.total.numel(), " and ", ours.scores.total.numel());
  Comparison result{base.name, ours.name, {}, {}, {}, {}};
  const auto gains = grouped(base.scores.total, ours.scores.total, requests);
  result.win_rate = win_rate(gains, tie_margin, seed);
  result.gain = mean_gain(gains, seed);
  for (const auto& [name, scores] : ours.scores.parts) {
    const auto part = grouped(base.scores.parts.at(name), scores, requests);
    if (!part.empty()) result.part_gain[name] = mean_gain(part, seed);
  }
  const Tensor difference = (ours.scores.total - base.scores.total).contiguous();
  result.gains.assign(difference.const_data_ptr<double>(), difference.const_data_ptr<double>() + n);
  return result;
}

double mean_score(const Tensor& scores) { return torch::nanmean(scores).item<double>(); }

Json to_json(const Comparison& comparison) {
  Json parts = Json::object();
  for (const auto& [name, gain] : comparison.part_gain) parts[name] = to_json(gain);
  return {{"base", comparison.base},
          {"ours", comparison.ours},
          {"win_rate", to_json(comparison.win_rate)},
          {"gain", to_json(comparison.gain)},
          {"part_gain", parts}};
}

Json mean_scores(const Side& side) {
  Json means = {{"total", mean_score(side.scores.total)}};
  for (const auto& [name, scores] : side.scores.parts) means[name] = mean_score(scores);
  return means;
}

}  // namespace palate
