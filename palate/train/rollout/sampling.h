// An epoch's pictures: sampled with the policy as it is, and scored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "palate/diffusion/gaussian_step.h"
#include "palate/judge/judge.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/rollout/rollout_config.h"
#include "palate/train/rollout/rollouts.h"

namespace palate {

// What of a picture's way is kept.
enum class Keeps : uint8_t { end, path, candidates };

// The text states of the run's prompts, encoded when an epoch first asks for them.
class PromptStates {
 public:
  PromptStates(Pipeline& pipeline, std::vector<std::string> prompts, bool guided);
  const std::vector<std::string>& prompts() const { return prompts_; }
  // One row a number, on the model's device. `negative` is empty without guidance. The prompts' states are kept until others are asked for.
  struct States {
    Condition positive, negative;
  };
  States of(const std::vector<int64_t>& numbers);
  // Ready for these and no others.
  void prepare(const std::vector<int64_t>& numbers);

 private:
  Pipeline& pipeline_;
  std::vector<std::string> prompts_;
  bool guided_;
  Condition states_, nothing_;  // of the prompts that are ready, ascending; one row
  std::vector<int64_t> ready_;
};

class RolloutSampler {
 public:
  // All outlive this.
  RolloutSampler(Pipeline& pipeline, const RolloutConfig& config, const GaussianStep& step, Judge& judge, Keeps keeps, uint64_t seed);
  // config.pictures of each of `prompts`. All noise is keyed by (seed, epoch, number of the picture, step). DataError names judge, prompt
  // and epoch when a score is not a finite number.
  Rollouts sample(int64_t epoch, const std::vector<int64_t>& prompts, PromptStates& states) const;

 private:
  struct Chunk;  // some pictures that go together
  void walk(Chunk& chunk) const;
  void draw_candidates(Chunk& chunk, int64_t i, const Transition& transition) const;
  Tensor noise(const Chunk& chunk, uint64_t draw) const;
  std::vector<double> scores(const Tensor& latents, const std::vector<int64_t>& prompts, const PromptStates& states, int64_t epoch) const;
  Tensor times(const std::vector<int64_t>& grid, int64_t i, int64_t rows) const;

  Pipeline& pipeline_;
  const RolloutConfig& config_;
  const GaussianStep& step_;
  Judge& judge_;
  Keeps keeps_;
  uint64_t seed_;
  GaussianStep::Grid grid_;
};

}  // namespace palate
