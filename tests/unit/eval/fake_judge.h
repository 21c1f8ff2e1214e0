// A judge whose scores can be worked out by hand: the mean of one channel. It remembers how it was asked.
#pragma once

#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/judge/judge.h"

namespace palate::test {

class ChannelMean : public Judge {
 public:
  explicit ChannelMean(int64_t channel, std::optional<double> margin = std::nullopt) : channel_(channel), margin_(margin) {}

  std::string name() const override { return "channel" + std::to_string(channel_); }
  std::string identity() const override { return "mean of channel " + std::to_string(channel_); }
  std::optional<double> tie_margin() const override { return margin_; }

  void require(int64_t height, int64_t, const std::vector<std::string>& prompts) const override {
    check<UsageError>(height <= 16, "[channel] too high");
    check<UsageError>(std::find(prompts.begin(), prompts.end(), "refused") == prompts.end(), "[channel] a refused prompt");
  }

  Scores score(const Tensor& pictures, const std::vector<std::string>&) override {
    most_at_once = std::max(most_at_once, pictures.size(0));
    const Tensor values = pictures.select(1, channel_).to(torch::kFloat64);
    return {values.mean({1, 2}), {{"largest", values.amax({1, 2})}}};
  }

  int64_t most_at_once = 0;

 private:
  int64_t channel_;
  std::optional<double> margin_;
};

}  // namespace palate::test
