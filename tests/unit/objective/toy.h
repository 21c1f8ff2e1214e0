// A network of one number, and pairs made from formulas: objectives are tested apart from real networks.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/config/config.h"
#include "palate/objective/make_reference.h"

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

inline NoiseSchedule toy_schedule(const char* prediction = "epsilon") {
  return NoiseSchedule(
      Json{{"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"prediction_type", prediction}});
}

// Pairs with the given ids; all that a pair holds follows from its id, so any two batches agree on it.
inline PairBatch toy_pairs(const std::vector<uint64_t>& ids, int64_t channels = 4, int64_t side = 4, int64_t width = 3) {
  PairBatch batch;
  std::vector<Tensor> win, lose, text;
  for (uint64_t id : ids) {
    const auto values = [&](Purpose purpose, std::vector<int64_t> sizes) { return Generator({1, id, 0, purpose}).normal(sizes); };
    win.push_back(values(Purpose::world, {channels, side, side}));
    lose.push_back(values(Purpose::label, {channels, side, side}));
    text.push_back(values(Purpose::split, {5, width}));
    batch.rows.push_back(static_cast<int64_t>(id));
  }
  batch.ids = ids;
  batch.latents_win = torch::stack(win);
  batch.latents_lose = torch::stack(lose);
  batch.condition.text = torch::stack(text);
  batch.preference = torch::ones({static_cast<int64_t>(ids.size())});
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
  std::pair<Tensor, Tensor> errors(const Request& r) override;
  ToyDenoiser network;
};

}  // namespace palate::test
