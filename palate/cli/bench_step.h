// The training step that `palate bench` times: the trainer's own (train/update.h), on a batch made in memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/clock.h"
#include "palate/core/tensor.h"

namespace palate {

struct BenchArguments {
  std::string kind, model, dtype, device = "cpu", reference = "computed", work = "cached";
  int64_t latent = 0, pairs = 0, rank = 0, steps = 3, threads = 0, operators = 0;
  bool checkpointing = false, json = false;
  std::vector<std::string> objective;  // overrides of [objective]
};

using Parts = std::map<std::string, double>;  // seconds
Tensor bench_noise(const std::vector<int64_t>& sizes, uint64_t sample);

// One step of a LoRA: DPO, unless `objective` says otherwise.
class StepBench {
 public:
  explicit StepBench(const BenchArguments& arguments);
  ~StepBench();
  Parts step();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate
