#include "palate/train/rollout/advantages.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace palate {
namespace {

using Groups = std::map<int64_t, std::vector<double>>;

Groups by_prompt(const std::vector<int64_t>& prompts, const std::vector<double>& rewards) {
  Groups groups;
  for (size_t i = 0; i < prompts.size(); ++i) groups[prompts[i]].push_back(rewards[i]);
  return groups;
}

}  // namespace

Moments moments_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  Moments of;
  for (const double value : values) of.mean += value / count;
  double squares = 0;
  for (const double value : values) squares += (value - of.mean) * (value - of.mean) / count;
  of.std = std::sqrt(squares);
  return of;
}

std::vector<double> PromptStatistics::advantages(const std::vector<int64_t>& prompts, const std::vector<double>& rewards) {
  const Moments all = moments_of(rewards);
  std::map<int64_t, Moments> own;
  for (const auto& [prompt, group] : by_prompt(prompts, rewards)) {
    std::deque<double>& last = rewards_[prompt];
    last.insert(last.end(), group.begin(), group.end());
    while (static_cast<int64_t>(last.size()) > buffer_) last.pop_front();
    own[prompt] = static_cast<int64_t>(last.size()) < min_count_ ? all : moments_of({last.begin(), last.end()});
  }
  std::vector<double> found;
  for (size_t i = 0; i < prompts.size(); ++i) found.push_back((rewards[i] - own[prompts[i]].mean) / (own[prompts[i]].std + 1e-6));
  return found;
}

void PromptStatistics::save(TensorMap& tensors) const {
  if (rewards_.empty()) return;
  std::vector<int64_t> prompts, counts;
  std::vector<double> values;
  for (const auto& [prompt, last] : rewards_) {
    prompts.push_back(prompt);
    counts.push_back(static_cast<int64_t>(last.size()));
    values.insert(values.end(), last.begin(), last.end());
  }
  tensors["rollout.statistics.prompts"] = torch::tensor(prompts, torch::kInt64);
  tensors["rollout.statistics.counts"] = torch::tensor(counts, torch::kInt64);
  tensors["rollout.statistics.rewards"] = torch::tensor(values, torch::kFloat64);
}

void PromptStatistics::load(const TensorMap& tensors) {
  rewards_.clear();
  if (!tensors.count("rollout.statistics.prompts")) return;
  const Tensor prompts = tensors.at("rollout.statistics.prompts").contiguous(),
               counts = tensors.at("rollout.statistics.counts").contiguous(),
               values = tensors.at("rollout.statistics.rewards").contiguous();
  const double* next = values.const_data_ptr<double>();
  for (int64_t i = 0; i < prompts.numel(); ++i) {
    const int64_t count = counts.const_data_ptr<int64_t>()[i];
    rewards_[prompts.const_data_ptr<int64_t>()[i]].assign(next, next + count);
    next += count;
  }
}

std::vector<double> group_advantages(const std::vector<int64_t>& prompts, const std::vector<double>& rewards, bool global_std) {
  const double all = moments_of(rewards).std;
  std::map<int64_t, Moments> own;
  for (const auto& [prompt, group] : by_prompt(prompts, rewards)) own[prompt] = moments_of(group);
  std::vector<double> found;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Moments& group = own[prompts[i]];
    found.push_back((rewards[i] - group.mean) / ((global_std ? all : group.std) + 1e-4));
  }
  return found;
}

std::vector<double> batch_advantages(const std::vector<double>& rewards) {
  const Moments all = moments_of(rewards);
  std::vector<double> found;
  for (const double reward : rewards) found.push_back((reward - all.mean) / (all.std + 1e-6));
  return found;
}

std::map<int64_t, bool> alike(const std::vector<int64_t>& prompts, const std::vector<double>& rewards) {
  std::map<int64_t, bool> found;
  for (const auto& [prompt, group] : by_prompt(prompts, rewards)) {
    const auto [least, most] = std::minmax_element(group.begin(), group.end());
    found[prompt] = group.size() > 1 && *least == *most;
  }
  return found;
}

}  // namespace palate
