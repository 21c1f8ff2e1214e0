// The oracle as a judge: prompts are captions of the embedded world.
#pragma once

#include "palate/judge/judge.h"
#include "palate/world/oracle.h"

namespace palate::world {

// total: the reward. Parts: acc, strict, appeal, iou, background, colour, shape, size, relation, count.
class OracleJudge : public Judge {
 public:
  std::string name() const override { return "the embedded world's oracle"; }
  // images: uint8 [B, 3, 32, 32]. DataError for a prompt that is no caption of the embedded world.
  Scores score(const Tensor& images, const std::vector<std::string>& prompts) override;
  double tie_margin() const override { return 0.1; }
};

// name and value of each part of a verdict
std::vector<std::pair<std::string, double>> parts(const Verdict& verdict);

}  // namespace palate::world
