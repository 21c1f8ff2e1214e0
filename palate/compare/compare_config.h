// What `palate compare` reads: methods, each a list of overrides of one common training config, and under which terms they are compared.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/config/fields.h"

namespace palate {

// A table [method.NAME]. What it sets goes over the common training config, as KEY=VALUE over the file of `palate train`.
struct Method {
  std::string name;
  std::string preset;            // of palate train, laid under `set`; "": none
  std::vector<std::string> set;  // "objective.loss=dpo", ...
  std::string beta = "auto";     // the key that is tuned beside the rate: auto: objective.beta where the loss reads it; none; a key
  std::vector<double> betas;     // its lowest and highest; empty: tune.betas
  bool tune = true;              // false: no trials, the settings are as given
  double share = 1;              // of the compute that the others get
  double passes = 0;             // of the network for each pair of a step, where the count (cost.h) does not hold; 0: counted
  void visit(Fields& f);
};

// What every run gets (cost.h).
struct Compute {
  std::string equal = "passes";  // steps | pairs | passes | seconds
  double amount = 0;
  void visit(Fields& f);
};

struct CompareData {
  std::vector<std::string> pairs = {
      "sample"};                        // data.pairs of palate train; "sample": drawn from the base for each seed, as palate demo does
  int64_t prompts = 600, pictures = 4;  // of such pairs
  bool sampled() const { return pairs.size() == 1 && pairs[0] == "sample"; }
  void visit(Fields& f);
};

// The search for each method's rate and beta (plan.h).
struct Tuning {
  int64_t trials = 8;  // of every method
  int64_t prompts = 100;
  int64_t seed = -1;                         // of the trials, none of those that are reported; -1: one above the largest of these
  std::string file;                          // of prompts; "": development captions of the embedded world
  std::vector<double> rates = {1e-4, 1e-2};  // lowest and highest optimizer.lr
  std::vector<double> betas = {10, 1000};    // lowest and highest beta
  void visit(Fields& f);
};

struct Testing {
  int64_t prompts = 200;
  std::string file;           // of prompts; "": held-out captions of the embedded world
  int64_t drift_draws = 4;    // of (t, noise) for each prompt
  int64_t grid_prompts = 12;  // whose pictures the page shows
  int64_t curve = 0;          // states of each run at equal distances that are judged too, for win rates over steps; 0: the last alone
  void visit(Fields& f);
};

struct CompareSampling {
  int64_t steps = 20, batch = 100;
  double guidance_scale = 2.5;
  std::string sampler;
  void visit(Fields& f);
};

struct CompareConfig {
  std::string base, output, train;  // model folder; folder of the comparison; common training config
  std::vector<int64_t> seeds;
  std::vector<std::string> judges = {"oracle"};
  int64_t threads = 0, checkpoint_every = 50;
  CompareData data;
  Compute compute;
  Tuning tune;
  Testing test;
  CompareSampling sampling;
  std::vector<Method> methods;  // in the order of the file
  void visit(Fields& f);

  // No reported run is one that was chosen for its luck.
  int64_t tuning_seed() const;
};

// ConfigError lists every mistake; UsageError where there is no method.
CompareConfig read_compare_config(const std::filesystem::path& file, const std::vector<std::string>& overrides);

}  // namespace palate
