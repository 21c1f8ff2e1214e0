// Members that no paper has, each the smallest that uses one part of the grid's interfaces: examples for whoever adds a real one.
#include <doctest/doctest.h>

#include <set>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

// A loss with a mean over everything that the step looks at: an example counts by how far its error is below that mean.
struct AboveMean : Loss {
  Needs needs() const override { return {}; }
  LossOutput operator()(const Statistics& s, const Ranks& ranks) const override {
    const Tensor mean = ranks.mean(s.policy.d.detach().mean());
    return {.loss = at::relu(s.policy.d - mean), .terms = {{"mean", mean}}};
  }
};

// A loss on the inner product of two residuals: of the preferred and the rejected picture, as safeguards of SDPO's kind ask for it.
struct Alignment : Loss {
  Needs needs() const override { return {.rejected = true, .residuals = true}; }
  LossOutput operator()(const Statistics& s, const Ranks&) const override {
    const Tensor& r = s.policy.residual;
    return {.loss = Statistics::inner(s.win(r), s.lose(r))};
  }
};

struct Given {
  Batch batch = toy_pairs({1, 2, 3});
  Noised noised;
};

std::set<std::string> keys_of(Constants constants) {
  const std::string text = config_to_toml([&](Fields& f) { constants.visit(f); });
  std::set<std::string> keys;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) keys.insert(text.substr(at, text.find(' ', at) - at));
  return keys;
}

}  // namespace

TEST_CASE("seams: a loss may take a mean over the step, which carries no gradient") {
  Given given;
  const Tensor d = torch::tensor({0.1, 0.5, 0.6}, torch::kFloat64).requires_grad_(true);
  given.batch = given.batch.first_view();
  const LossOutput out = AboveMean()({{d, {}}, {}, given.batch, given.noised}, {});
  out.loss.sum().backward();
  CHECK(out.terms.at("mean").item<double>() == doctest::Approx(0.4));
  expect_close("gradient", d.grad(), torch::tensor({0.0, 1.0, 1.0}, torch::kFloat64), 1e-12);
}

TEST_CASE("seams: a loss may take the inner product of residuals, whose gradient is the other residual") {
  Given given;
  const Tensor residual = torch::arange(24.0, torch::kFloat64).view({6, 4}).sin().requires_grad_(true);
  const LossOutput out = Alignment()({{residual.square().mean(1), residual}, {}, given.batch, given.noised}, {});
  CHECK(out.loss.sizes() == std::vector<int64_t>{3});
  out.loss.sum().backward();
  expect_close("gradient", residual.grad(), torch::cat({residual.detach().narrow(0, 3, 3), residual.detach().narrow(0, 0, 3)}) / 4, 1e-12);
}

TEST_CASE("seams: a key belongs to one axis, so that no two chosen members read it with two meanings") {
  const std::vector<std::vector<ChoiceLine>> axes = {losses(), error_spaces(), timestep_policies(), references()};
  std::set<std::string> own;  // of the table itself
  {
    ObjectiveConfig config;
    const std::string text = config_to_toml([&](Fields& f) { config.visit(f); });
    for (const char* key : {"loss", "error_space", "timesteps", "reference", "snr_gamma", "noise_offset"}) {
      CHECK(text.find(std::string(key) + " = ") != std::string::npos);
      own.insert(key);
    }
  }
  for (size_t a = 0; a < axes.size(); ++a) {
    for (const auto& line : axes[a]) {
      for (const auto& key : keys_of(line.defaults())) {
        CAPTURE(key);
        CHECK(own.count(key) == 0);
        for (size_t b = a + 1; b < axes.size(); ++b) {
          for (const auto& other : axes[b]) CHECK(keys_of(other.defaults()).count(key) == 0);
        }
      }
    }
  }
}

TEST_CASE("seams: the reference's prompts may be others than the policy's") {
  Batch batch = toy_pairs({1});
  batch.base_condition = Condition{{"encoder_hidden_states", torch::zeros({1, 5, 3})}};
  ToyDenoiser network(0.7);
  const Policy policy{network};
  expect_equal("own", policy.condition(batch, Prompts::own)["encoder_hidden_states"], batch.condition["encoder_hidden_states"]);
  expect_equal("base", policy.condition(batch, Prompts::base)["encoder_hidden_states"], torch::zeros({1, 5, 3}));
  // Trained text encoders give the policy's states, and what they do not give comes with the batch.
  batch.condition.set("time_ids", torch::ones({1, 6}));
  batch.prompts = {"a cat"};
  const Policy trained{network, [](const std::vector<std::string>& prompts) {
                         return Condition{{"encoder_hidden_states", torch::full({static_cast<int64_t>(prompts.size()), 5, 3}, 2.F)}};
                       }};
  const Condition own = trained.condition(batch, Prompts::own);
  expect_equal("states", own["encoder_hidden_states"], torch::full({1, 5, 3}, 2.F));
  expect_equal("sizes", own["time_ids"], torch::ones({1, 6}));
}

TEST_CASE("seams: two LoRAs on the same layers are told apart by their sets, also when a checkpointed pass is run again") {
  const auto network = load_denoiser(golden("tiny_model/unet"));
  for (auto& weight : network->module().parameters()) weight.set_requires_grad(false);
  Lora first = Lora::inject(network->module(), {.rank = 2}, 0), second = Lora::inject(network->module(), {.rank = 2}, 1);
  second.set_adapter_set(1);
  {
    const torch::NoGradGuard no_grad;
    for (const Lora* lora : {&first, &second}) {
      for (const auto& [name, value] : lora->parameters()) value.add_(lora == &first ? 0.1 : -0.2);
    }
  }
  const Batch batch = toy_pairs({1}, {}, 4, 8, 12);
  const auto predict = [&](uint64_t sets) {
    const AdaptersOnly only(sets);
    return network->predict(batch.view(0), torch::tensor({9}), batch.condition);
  };
  const Tensor base = predict(0), a = predict(adapter_set(0)).detach(), b = predict(adapter_set(1)).detach(),
               both = predict(~uint64_t{0}).detach();
  for (const auto& [one, other] : {std::pair{a, b}, {a, base}, {b, base}, {both, a}, {both, b}}) CHECK_FALSE(one.allclose(other));
  network->set_gradient_checkpointing(true);
  predict(adapter_set(1)).sum().backward();  // the guard is gone when the blocks run again
  for (const auto& [name, value] : first.parameters()) CHECK((!value.grad().defined() || value.grad().abs().max().item<double>() == 0));
  double moved = 0;
  for (const auto& [name, value] : second.parameters()) moved += value.grad().defined() ? value.grad().abs().sum().item<double>() : 0;
  CHECK(moved > 0);
}
