// A training run as an object: set up, loop, results. train() is its only user.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/data/pair_cache.h"
#include "palate/objective/make_reference.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/checkpoint.h"
#include "palate/train/ema.h"
#include "palate/train/metrics.h"
#include "palate/train/optimizer.h"
#include "palate/train/pair_order.h"
#include "palate/train/run_folder.h"
#include "palate/train/text_training.h"
#include "palate/train/train.h"
#include "palate/train/trainable.h"
#include "palate/train/validation.h"

namespace palate {

// What a loss is known of until the step's update was accepted: to name the pairs when it is not a number.
struct SeenBatch {
  std::vector<int64_t> rows;
  std::vector<uint64_t> ids;
  Tensor losses;  // [B]
};

class Run {
 public:
  explicit Run(const RunConfig& config);
  TrainResult go();

 private:
  // run_setup.cpp
  void open_folder();
  void compare_settings() const;
  void open_model();
  void open_text();
  void open_objective();
  void resume();
  void restore(const Checkpoint& checkpoint);
  std::filesystem::path cache_folder() const;

  // train.cpp
  void loop();
  std::string how_to_go_on() const;
  std::string last_checkpoint() const;
  [[noreturn]] void explain_lost_write(const std::string& reason) const;
  void step();
  void step_text(const std::vector<Tensor>& gradients);
  double text_rate() const;
  SeenBatch forward_backward(int64_t first);
  void refuse_non_finite(double norm, double loss, const std::vector<SeenBatch>& seen) const;
  void after_step();
  void add_means(std::map<std::string, double>& line);
  void validate(std::map<std::string, double>& line);
  void with_result_weights(const std::function<void()>& use);  // EMA, when there is one

  // run_results.cpp
  void sample(int64_t at);
  void save();
  void save_result(const std::filesystem::path& folder) const;
  void save_best();
  void take_best();
  void prune_best() const;
  void write_results();
  Metadata metadata() const;

  RunConfig config_;
  c10::Device device_;
  c10::ScalarType dtype_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<RunFolder> folder_;
  std::optional<PairCache> cache_;
  std::optional<Trainable> trainable_;
  std::unique_ptr<Objective> objective_;
  std::optional<TextTraining> text_;
  std::vector<std::string> names_;  // of all that is trained
  std::vector<Tensor> values_;
  std::unique_ptr<Optimizer> optimizer_, text_optimizer_;
  std::optional<Ema> ema_;
  std::optional<PairOrder> order_;
  std::optional<Validation> validation_;
  std::unique_ptr<MetricLog> metrics_;
  std::function<void(PairBatch&, Draw*)> prepare_;
  PairCache::Options batch_options_;

  TrainState state_;
  int64_t saved_step_ = -1;
  double loss_ = 0, lr_ = 0;  // of the last step
  std::map<std::string, double> last_;
  std::chrono::steady_clock::time_point began_, logged_, announced_;
  double seconds_before_ = 0;
  int64_t logged_step_ = 0;
};

}  // namespace palate
