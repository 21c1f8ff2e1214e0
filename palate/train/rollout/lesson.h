// What an epoch's pictures teach: the method's own part of a run on them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/objective/objective.h"
#include "palate/objective/step_objective.h"
#include "palate/train/rollout/sampling.h"
#include "palate/train/run_config.h"

namespace palate {

// What a loss is taken of: a step of a picture, the same step of two, two next states of one, or two pictures whole.
struct LessonRow {
  int64_t win = 0;    // the picture, or the preferred one
  int64_t lose = -1;  // the rejected picture; -1: there is none
  int64_t step = -1;  // -1: the pictures whole
};
using LessonItem = std::vector<LessonRow>;  // rows that one update sees together

struct LessonOutput {
  Tensor losses;  // [rows], with gradients
  std::map<std::string, double> metrics;
};

class Lesson {
 public:
  virtual ~Lesson() = default;
  virtual Keeps keeps() const = 0;
  // Of this inner epoch, in the pictures' order.
  virtual std::vector<LessonItem> items(const Rollouts& rollouts, int64_t inner) const = 0;
  virtual LessonOutput evaluate(Policy& policy, const Rollouts& rollouts, const std::vector<LessonRow>& rows, PromptStates& states,
                                int64_t inner) const = 0;
};

// A loss on steps. Both outlive it.
std::unique_ptr<Lesson> make_step_lesson(const RunConfig& config, const GaussianStep& step, StepObjective& objective);
// A loss of the grid on pairs of whole pictures (online DPO). The objective outlives it.
std::unique_ptr<Lesson> make_pair_lesson(const RunConfig& config, Objective& objective);

// How many rows one optimizer step has at most. What was drawn may have fewer: pictures that are alike, candidates that differ too little.
int64_t most_lesson_rows(const RunConfig& config);

// Pairs of pictures of one prompt, the one with the higher reward first; those nearer than min_gap, and equal ones, are none.
std::vector<LessonRow> picture_pairs(const Rollouts& rollouts, const RolloutConfig& config);

}  // namespace palate
