// Alignment of a diffusion model: the grid's objective on cached latents, with a LoRA or the whole denoiser, and its text encoders.
#pragma once

#include <memory>
#include <optional>

#include "palate/data/cache/batch_source.h"
#include "palate/objective/objective.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/logit_scale.h"
#include "palate/train/pair_order.h"
#include "palate/train/run_config.h"
#include "palate/train/task.h"
#include "palate/train/text_training.h"
#include "palate/train/trainable.h"
#include "palate/train/validation.h"

namespace palate {

// Of latents, text states, cached errors, pictures of the class.
std::filesystem::path cache_folder(const RunConfig& config, const std::filesystem::path& run);

class AlignTask : public Task {
 public:
  // `pipeline` is the config's model, held in the dtype that it is trained from; caches lie below `run` unless the config says otherwise.
  AlignTask(const RunConfig& config, Pipeline& pipeline, PairSource& source, const std::filesystem::path& run);

  Parameters& parameters() override { return parameters_; }
  void set_training(bool on) override { trainable_->set_training(on); }
  Pass pass(int64_t step, int64_t part, double progress, const Ranks& ranks) override;
  void after_update(const Ranks& ranks) override;
  Metrics validate() override;
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
  struct Aim {
    Aim(const RunConfig& config, const SpaceSetup& space)
        : objective(config.objective, space), scale(objective, config.optimizer.warmup_steps, config.train.steps) {}
    Objective objective;
    LogitScale scale;
  };
  void open_text();
  void open_reference();
  Batch next_batch(int64_t first);  // as the objective sees it, with its dropout; first: the number of its first example in the run
  void begin_scale();
  ReferenceRows reference_rows(const std::vector<int64_t>& rows, const BatchSource& source) const;
  LoadOptions load_options() const;  // of the network as it computes

  RunConfig config_;
  Pipeline& pipeline_;
  std::filesystem::path run_;
  PairCache cache_;
  BatchSource batches_;
  PairOrder order_;
  std::optional<Trainable> trainable_;
  std::optional<TextTraining> text_;
  Parameters parameters_;
  std::optional<Policy> policy_;
  std::unique_ptr<Aim> aim_;
  std::optional<Validation> validation_;
};

}  // namespace palate
