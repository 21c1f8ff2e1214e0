// Pairs of whole pictures for a loss of the grid: online DPO. Their latents are the pictures' own, with nothing encoded again.
#include <torch/types.h>

#include "palate/core/generator.h"
#include "palate/train/rollout/lesson.h"

namespace palate {
namespace {

class PairLesson : public Lesson {
 public:
  PairLesson(const RunConfig& config, Objective& objective)
      : config_(config.rollout), seed_(static_cast<uint64_t>(config.seed)), objective_(objective) {}

  Keeps keeps() const override { return Keeps::end; }
  std::vector<LessonItem> items(const Rollouts& rollouts, int64_t) const override {
    std::vector<LessonItem> found;
    for (const LessonRow& pair : picture_pairs(rollouts, config_)) found.push_back({pair});
    return found;
  }

  LessonOutput evaluate(Policy& policy, const Rollouts& rollouts, const std::vector<LessonRow>& rows, PromptStates& states,
                        int64_t inner) const override {
    Batch batch;
    batch.views = 2;
    std::vector<int64_t> win, lose, prompts;
    for (const LessonRow& row : rows) {
      win.push_back(row.win);
      lose.push_back(row.lose);
      prompts.push_back(rollouts.prompts[static_cast<size_t>(row.win)]);
      const uint64_t picture = mix(mix(stable_hash("pair"), static_cast<uint64_t>(rollouts.epoch)), static_cast<uint64_t>(row.win));
      batch.visits.push_back({.id = mix(picture, static_cast<uint64_t>(row.lose)),
                              .row = row.win,
                              .visit = static_cast<uint64_t>(inner),
                              .draw = static_cast<uint64_t>(inner)});
    }
    const auto device = policy.network.module().parameters().front().device();
    const auto of = [&](const std::vector<int64_t>& pictures) {
      return rollouts.latents().index_select(0, torch::tensor(pictures, torch::kInt64));
    };
    batch.x0 = torch::cat({of(win), of(lose)}).to(device);
    batch.label = torch::ones({batch.size()}, batch.x0.options());
    batch.condition = states.of(prompts).positive;
    const ObjectiveOutput out = objective_.evaluate(policy, batch, objective_.draw(batch, seed_));
    return {out.losses, out.metrics};
  }

 private:
  RolloutConfig config_;
  uint64_t seed_;
  Objective& objective_;
};

}  // namespace

std::unique_ptr<Lesson> make_pair_lesson(const RunConfig& config, Objective& objective) {
  return std::make_unique<PairLesson>(config, objective);
}

}  // namespace palate
