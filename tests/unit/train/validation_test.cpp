// The held-out numbers against values worked out by hand. A network that predicts the picture itself, the constant p, has the error
// (x - p)^2 on a flat picture x, whatever t and noise. With the reference's constant r the margin of a pair (w, l) is
//   m = ((w - r)^2 - (l - r)^2) - ((w - p)^2 - (l - p)^2) = 2 (p - r) (w - l),   z = beta / 2 m = beta (p - r) (w - l):
// p above r prefers the brighter picture.
#include "palate/train/validation.h"

#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/config/config.h"
#include "palate/diffusion/schedule.h"
#include "palate/io/image.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/objective.h"
#include "tests/support/paths.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;

namespace {

// Predicts `policy` in turn, call by call, and `reference` with its adapters off.
class Constant : public Denoiser {
 public:
  Constant(std::vector<double> policy, double reference) : policy_(std::move(policy)), reference_(reference) {}
  Tensor predict(const Tensor& x_t, const Tensor&, const Condition&) override {
    return torch::full_like(x_t, adapters_on() ? policy_[calls_++ % policy_.size()] : reference_);
  }
  torch::nn::Module& module() override { return module_; }
  const Json& config() const override { return config_; }
  int64_t latent_channels() const override { return 3; }
  int64_t sample_size() const override { return 4; }
  int64_t text_width() const override { return 6; }
  void set_gradient_checkpointing(bool) override {}

 private:
  std::vector<double> policy_;
  double reference_;
  size_t calls_ = 0;
  torch::nn::Module module_{"constant"};
  Json config_ = Json::object();
};

// Flat pictures; FakeEncoders make a tone v the latent (v / 127.5 - 1) / 2, so that w - l is the difference of the tones over 255.
PairCache flat_pairs(const std::filesystem::path& folder, const std::vector<std::pair<int, int>>& tones) {
  std::string lines;
  for (size_t i = 0; i < tones.size(); ++i) {
    const std::string name = std::to_string(i);
    write_text(folder / (name + "w.png"), encode_png(torch::full({3, 16, 16}, tones[i].first, torch::kByte)));
    write_text(folder / (name + "l.png"), encode_png(torch::full({3, 16, 16}, tones[i].second, torch::kByte)));
    lines += Json{{"prompt", "prompt " + name}, {"chosen", name + "w.png"}, {"rejected", name + "l.png"}}.dump() + "\n";
  }
  write_text(folder / "pairs.jsonl", lines);
  DataConfig config;
  config.pairs = {(folder / "pairs.jsonl").string()};
  config.held_out = 0;  // rows are named below
  FakeEncoders encoders;
  return PairCache::open(encoders, config, folder / "cache", 0);
}

std::map<std::string, double> measured(const std::string& name, Constant& network, const std::string& objective_overrides, int64_t draws) {
  const PairCache cache = flat_pairs(fresh_folder(name), {{200, 98}, {50, 101}, {120, 120}, {255, 204}});  // w - l: 0.4, -0.2, 0, 0.2
  ObjectiveConfig config;
  load_config({.file_name = "a.toml", .file_text = objective_overrides, .overrides = {}}, [&](Fields& f) { config.visit(f); });
  const NoiseSchedule schedule(
      Json{{"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"prediction_type", "sample"}});
  Objective objective(config, {.process = schedule, .network = &network, .frozen = {}});
  ReferenceSetup setup;
  setup.policy = &network;
  objective.set_reference(make_reference(config, setup));
  const BatchSource source{.cache = cache, .options = {.seed = 0, .caption_dropout = 0, .augment = false}};
  Policy policy{network};
  return Validation(source, cache.rows(Split::train), draws, 3).measure(objective, policy);  // the last batch has one pair
}

double loss_of(std::initializer_list<double> logits) {
  double sum = 0;
  for (const double z : logits) sum += std::log1p(std::exp(-z));
  return sum / static_cast<double>(logits.size());
}

}  // namespace

TEST_CASE("validation: accuracy is the share of pairs whose winner gained, a tie counting half") {
  Constant network({0.6}, 0.1);  // z = 10 * 0.5 * (w - l) = 2, -1, 0, 1
  const auto held_out = measured("accuracy", network, "beta = 10", 1);
  CHECK(held_out.at("held_out/accuracy") == 0.625);  // two right, one wrong, one tie
  CHECK(held_out.at("held_out/margin") == doctest::Approx(0.5).epsilon(1e-5));
  CHECK(held_out.at("held_out/loss") == doctest::Approx(loss_of({2, -1, 0, 1})).epsilon(1e-5));
  Constant reverse({-0.4}, 0.1);  // prefers the darker picture
  CHECK(measured("reverse", reverse, "beta = 10", 1).at("held_out/accuracy") == 0.375);
}

TEST_CASE("validation: a pair is judged by the mean of its draws' margins") {
  Constant network({1.6, -0.4}, 0.1);  // z = 15 (w - l) = 6, -3, 0, 3, then -5 (w - l) = -2, 1, 0, -1: their mean is as above
  const auto held_out = measured("draws", network, "beta = 10", 2);
  CHECK(held_out.at("held_out/accuracy") == 0.625);  // judged draw by draw it would be 0.5
  CHECK(held_out.at("held_out/margin") == doctest::Approx(0.5).epsilon(1e-5));
  CHECK(held_out.at("held_out/loss") == doctest::Approx(loss_of({6, -3, 0, 3, -2, 1, 0, -1})).epsilon(1e-5));
}

TEST_CASE("validation: a loss without rewards has no accuracy") {
  Constant network({0.1}, 0);
  const auto held_out = measured("sft", network, "loss = \"sft\"\nreference = \"none\"", 1);
  double expected = 0;
  for (const double tone : {200, 50, 120, 255}) expected += std::pow((tone / 127.5 - 1) / 2 - 0.1, 2) / 4;
  CHECK(held_out.at("held_out/loss") == doctest::Approx(expected).epsilon(1e-5));
  CHECK(held_out.count("held_out/accuracy") == 0);
}

TEST_CASE("validation: the pairs that are looked at depend on the seed alone") {
  const std::vector<int64_t> rows = {3, 5, 8, 13, 21, 34};
  const auto chosen = Validation::choose(rows, 3, 7);
  CHECK(chosen.size() == 3);
  CHECK(std::is_sorted(chosen.begin(), chosen.end()));
  CHECK(std::includes(rows.begin(), rows.end(), chosen.begin(), chosen.end()));
  CHECK(Validation::choose(rows, 3, 7) == chosen);
  CHECK(Validation::choose(rows, 0, 7) == rows);
  bool other = false;
  for (uint64_t seed = 0; seed < 8; ++seed) other = other || Validation::choose(rows, 3, seed) != chosen;
  CHECK(other);
}
