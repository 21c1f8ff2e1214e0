// Rewards to advantages.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "palate/io/safetensors.h"

namespace palate {

struct Moments {
  double mean = 0, std = 0;  // std of the whole, not of a sample
};
Moments moments_of(const std::vector<double>& values);

// The last rewards of each prompt, as ddpo-pytorch's PerPromptStatTracker keeps them.
class PromptStatistics {
 public:
  PromptStatistics(int64_t buffer, int64_t min_count) : buffer_(buffer), min_count_(min_count) {}
  // [N]: (r - mean) / (std + 1e-6) over the last `buffer` rewards of its prompt, these among them; over all of these where the prompt has
  // fewer than `min_count`.
  std::vector<double> advantages(const std::vector<int64_t>& prompts, const std::vector<double>& rewards);
  void save(TensorMap& tensors) const;
  void load(const TensorMap& tensors);

 private:
  int64_t buffer_, min_count_;
  std::map<int64_t, std::deque<double>> rewards_;
};

// [N]: (r - mean) / (std + 1e-4) over the rewards of the same prompt (Flow-GRPO); `global_std`: std over all of them.
std::vector<double> group_advantages(const std::vector<int64_t>& prompts, const std::vector<double>& rewards, bool global_std);
// [N]: (r - mean) / (std + 1e-6) over all.
std::vector<double> batch_advantages(const std::vector<double>& rewards);

// Prompts whose pictures all have one reward: from them nothing can be learned. Only those with two pictures or more.
std::map<int64_t, bool> alike(const std::vector<int64_t>& prompts, const std::vector<double>& rewards);

}  // namespace palate
