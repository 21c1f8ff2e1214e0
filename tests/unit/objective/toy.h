// A network of one number, and pairs made from formulas: objectives are tested apart from real networks.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/config/config.h"
#include "palate/diffusion/schedule.h"
#include "palate/objective/objective.h"

namespace palate::test {

// Predicts gain * x_t; counts its calls and rows.
class ToyDenoiser : public Denoiser {
 public:
  explicit ToyDenoiser(double gain) { gain_ = module_.register_parameter("gain", torch::tensor(gain, torch::kFloat32)); }
  Tensor predict(const Tensor& x_t, const Tensor&, const Condition&) override {
    ++calls;
    rows += x_t.size(0);
    return gain_ * x_t;
  }
  torch::nn::Module& module() override { return module_; }
  const Json& config() const override { return config_; }
  int64_t latent_channels() const override { return 4; }
  int64_t sample_size() const override { return 4; }
  int64_t text_width() const override { return 3; }
  void set_gradient_checkpointing(bool) override {}
  Tensor gain() const { return gain_; }
  int64_t calls = 0, rows = 0;

 private:
  torch::nn::Module module_{"toy"};
  Tensor gain_;
  Json config_ = Json::object();
};

// One of each prediction for the whole program: objectives keep a reference to it.
inline const NoiseSchedule& toy_schedule(const std::string& prediction = "epsilon") {
  static std::map<std::string, NoiseSchedule> made;
  const Json config{{"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"prediction_type", prediction}};
  return made.try_emplace(prediction, config).first->second;
}

// Pairs with the given ids; all that a pair holds follows from its id, so any two batches agree on it.
inline Batch toy_pairs(const std::vector<uint64_t>& ids, const std::vector<uint64_t>& draws = {}, int64_t channels = 4, int64_t side = 4,
                       int64_t width = 3) {
  Batch batch;
  batch.views = 2;
  std::vector<Tensor> pictures[2], text;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto values = [&](Purpose purpose, std::vector<int64_t> sizes) { return Generator({1, ids[i], 0, purpose}).normal(sizes); };
    pictures[0].push_back(values(Purpose::world, {channels, side, side}));
    pictures[1].push_back(values(Purpose::label, {channels, side, side}));
    text.push_back(values(Purpose::split, {5, width}));
    const uint64_t draw = draws.empty() ? 0 : draws[i];
    batch.visits.push_back({.id = ids[i], .row = static_cast<int64_t>(ids[i]), .visit = draw, .draw = draw});
  }
  batch.x0 = torch::cat({torch::stack(pictures[0]), torch::stack(pictures[1])});
  batch.condition = {{"encoder_hidden_states", torch::stack(text)}};
  batch.label = torch::ones({batch.size()});
  return batch;
}

inline ObjectiveConfig objective(const std::vector<std::string>& overrides) {
  ObjectiveConfig config;
  load_config({.file_name = "", .file_text = "", .overrides = overrides}, [&](Fields& f) { config.visit(f); });
  return config;
}

// A reference that predicts with another gain.
class ToyReference : public Reference {
 public:
  explicit ToyReference(double gain) : network(gain) {}
  Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
    return run(network, policy.condition(batch, Prompts::base));
  }
  ToyDenoiser network;
};

// An objective with such a reference (no reference below 0).
inline Objective toy_objective(const std::vector<std::string>& overrides, double gain = 0.5,
                               const NoiseSchedule& schedule = toy_schedule()) {
  Objective made(objective(overrides), {.process = schedule, .frozen = {}});
  made.set_reference(gain < 0 ? nullptr : std::make_unique<ToyReference>(gain));
  return made;
}

// The first or the second views' share of d.
inline Tensor of_view(const ObjectiveOutput& output, const Tensor& d, int64_t view) {
  return d.narrow(0, view * output.examples, output.examples);
}

}  // namespace palate::test
