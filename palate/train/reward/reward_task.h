// Training of a reward model: a CLIPModel whose scores of two pictures say which of them people prefer (PickScore, 2305.01569).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/data/cache/pixel_cache.h"
#include "palate/pipeline/clip_scorer.h"
#include "palate/train/pair_order.h"
#include "palate/train/run_config.h"
#include "palate/train/task.h"

namespace palate {

// The config's model, held in float32 on its device: its weights, or fresh ones of its config.json.
ClipScorer open_reward_model(const RunConfig& config);

class RewardTask : public Task {
 public:
  RewardTask(const RunConfig& config, ClipScorer model, PairSource& source, const std::filesystem::path& run);

  Parameters& parameters() override { return parameters_; }
  Pass pass(int64_t step, int64_t part, double progress, const Ranks& ranks) override;
  // held_out/loss; held_out/accuracy: how often the label agrees with the scores (a tie half, equal scores half); held_out/margin: of the
  // scores.
  Metrics validate() override;
  // FOLDER/model, a folder of a CLIPModel that `palate judge --judge clip:FOLDER/model` takes.
  void write(const std::filesystem::path& folder, const TrainState& state) const override;
  bool written_whole() const override { return true; }
  void read(const std::filesystem::path& folder) override;
  void finish(const std::filesystem::path& run, const TrainState& state, const Metrics& last) override;
  std::string describe(const Visit& visit) const override;
  void annotate(Metrics& line, const TrainState& state) const override;

 private:
  struct Scored {
    Tensor first, second, label, losses;  // [B]
    double accuracy() const;
  };
  Scored score(const PixelBatch& batch);
  Tensor weights(const std::vector<Visit>& visits) const;  // [B]; their sum is 1

  RunConfig config_;
  ClipScorer model_;
  PixelCache cache_;
  PairOrder order_;
  std::vector<int64_t> held_out_;
  std::map<std::string, int64_t> pairs_of_;  // each training prompt's
  Parameters parameters_;
};

}  // namespace palate
