// Training on the model's own pictures: sample an epoch of them, ask the judge, learn from what it says, and again.
#pragma once

#include <memory>
#include <optional>

#include "palate/objective/reference/snapshot.h"
#include "palate/train/rollout/advantages.h"
#include "palate/train/rollout/lesson.h"
#include "palate/train/task.h"
#include "palate/train/trainable.h"

namespace palate {

// Of a run: what pictures are made of, and who scores them.
struct RolloutSources {
  std::vector<std::string> prompts;
  std::unique_ptr<Judge> judge;
};
// UsageError for a judge that is not there, prompts that are missing, and pictures or prompts that the judge cannot score.
RolloutSources open_rollout_sources(const RunConfig& config, Pipeline& pipeline);

class RolloutTask : public Task {
 public:
  RolloutTask(const RunConfig& config, Pipeline& pipeline, RolloutSources sources, const std::filesystem::path& run);

  int64_t passes() const { return passes_; }  // of one optimizer step: what LoopConfig::accumulation must be

  Parameters& parameters() override { return parameters_; }
  void set_training(bool on) override { trainable_->set_training(on); }
  Pass pass(int64_t step, int64_t part, double progress, const Ranks& ranks) override;
  void after_update(const Ranks& ranks) override;
  void save(TensorMap& tensors) const override;
  void load(const TensorMap& tensors) override;
  void write(const std::filesystem::path& folder, const TrainState& state) const override;
  bool written_whole() const override { return config_.full; }
  void read(const std::filesystem::path& folder) override;
  Tensor sample(int64_t step) override;
  void finish(const std::filesystem::path& run, const TrainState& state, const Metrics& last) override;
  std::string describe(const Visit& visit) const override;
  void annotate(Metrics& line, const TrainState& state) const override;

 private:
  struct Method;  // loss, reference, lesson, sampler
  struct Epoch;   // the pictures now, and where the run is in them
  void open_method();
  void begin_epoch(int64_t epoch);
  std::vector<double> advantages(const Rollouts& rollouts);
  const std::vector<LessonRow>& rows_of(int64_t step);

  RunConfig config_;
  Pipeline& pipeline_;
  std::filesystem::path run_;
  RolloutSources sources_;
  std::optional<Trainable> trainable_;
  Parameters parameters_;
  std::optional<Policy> policy_;
  PromptStatistics statistics_;
  std::shared_ptr<Method> method_;
  std::shared_ptr<Epoch> epoch_;
  int64_t passes_ = 1;
};

}  // namespace palate
