// References on a real U-Net, small.
#include <doctest/doctest.h>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/reference/cached.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

const std::filesystem::path model() { return golden("tiny_model/unet"); }

struct Adapted {
  std::unique_ptr<Denoiser> network = load_denoiser(model());
  Lora lora = Lora::inject(network->module(), {.rank = 2, .targets = {"to_q", "conv1"}}, 0);
  Policy policy{*network};
  Adapted() {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, value] : lora.parameters()) value.add_(0.1);  // away from the base
  }
};

Batch pairs(const std::vector<uint64_t>& ids, const std::vector<uint64_t>& draws = {}) { return toy_pairs(ids, draws, 4, 8, 12); }

// An objective over a real network, with the reference that its config names. `batches` counts those that the cache asked for.
Objective made(const ObjectiveConfig& config, Denoiser* network, const std::filesystem::path& folder = "", int64_t* batches = nullptr) {
  Objective objective(config, {.process = toy_schedule(), .network = network, .frozen = {}});
  ReferenceSetup setup;
  setup.policy = network;
  setup.denoiser_folder = model();
  setup.folder = folder;
  setup.weights_hash = "tiny";
  setup.noising_key = objective.noising_key();
  setup.batch = 2;
  const auto part = [&](const std::vector<int64_t>& rows, uint64_t seed) {
    return ReferenceRows{
        .rows = rows,
        .seed = seed,
        .key = "toy",
        .batch =
            [batches](const std::vector<int64_t>& some, uint64_t draw) {
              if (batches) ++*batches;
              return pairs({some.begin(), some.end()}, std::vector<uint64_t>(some.size(), draw));
            },
        .errors = [&objective, seed](Denoiser& asked,
                                     const Batch& batch) { return objective.errors(asked, batch, objective.draw_fixed(batch, seed)); }};
  };
  setup.parts = {part({3, 5, 8}, 4), part({1, 2}, 9)};
  objective.set_reference(make_reference(config, setup));
  return objective;
}

}  // namespace

TEST_CASE("reference: adapters off equals a frozen copy to the bit") {
  Adapted adapted;
  Objective off = made(objective({"reference=adapters_off"}), adapted.network.get());
  Objective copy = made(objective({"reference=frozen_copy"}), adapted.network.get());
  const Batch batch = pairs({1, 2, 3}, {0, 1, 2});
  const Noising draw = off.draw(batch, 5);
  const auto a = off.evaluate(adapted.policy, batch, draw), b = copy.evaluate(adapted.policy, batch, draw);
  expect_equal("reference", a.reference, b.reference);
  expect_equal("loss", a.loss.detach(), b.loss.detach());
  CHECK_FALSE(torch::equal(a.policy, a.reference));
  CHECK(adapters_on());
}

TEST_CASE("reference: a fresh LoRA starts at log 2 with z = 0") {
  const auto network = load_denoiser(model());
  const auto lora = Lora::inject(network->module(), {.rank = 2}, 0);
  Policy policy{*network};
  Objective fresh = made(objective({}), network.get());
  const Batch batch = pairs({1, 2});
  const auto out = fresh.evaluate(policy, batch, fresh.draw(batch, 0));
  CHECK(out.terms.logits.abs().max().item<double>() == 0);
  CHECK(out.loss.item<double>() == doctest::Approx(std::log(2.0)));
}

TEST_CASE("reference: cached errors are those of adapters off at the same draw") {
  Adapted adapted;
  const auto folder = fresh_folder("cached");
  const auto config = objective({"reference=cached", "reference_draws=3"});
  int64_t batches = 0;
  Objective cached = made(config, adapted.network.get(), folder, &batches);
  CHECK(batches == 3 * 2 + 3 * 1);
  Objective plain = made(objective({}), adapted.network.get());
  const Batch batch = pairs({8, 3}, {1, 2});
  const Noising draw = cached.draw(batch, 4);
  const auto a = cached.evaluate(adapted.policy, batch, draw), b = plain.evaluate(adapted.policy, batch, draw);
  expect_close("reference", a.reference, b.reference, 1e-6);  // another batch: rounding
  // The second part, a row that no part has, and a draw that was not computed.
  const auto evaluate = [&](const Batch& some, uint64_t seed) { return cached.evaluate(adapted.policy, some, cached.draw(some, seed)); };
  CHECK_NOTHROW(evaluate(pairs({2}), 9));
  CHECK_THROWS_WITH_AS(evaluate(pairs({77}), 9), doctest::Contains("row 77"), Error);
  CHECK_THROWS_WITH_AS(evaluate(pairs({2}, {3}), 9), doctest::Contains("3 draws are kept"), Error);

  // Found again, without a policy (full training) and without computing anything.
  made(config, nullptr, folder, &batches);
  CHECK(batches == 9);
  // Another K, timestep range or model is another file.
  made(objective({"reference=cached", "reference_draws=3", "t_max=500"}), adapted.network.get(), folder, &batches);
  CHECK(batches == 18);
  // So is a loss that looks at the same pairs with other noise.
  made(objective({"loss=kto", "reference=cached", "reference_draws=3"}), adapted.network.get(), folder, &batches);
  CHECK(batches == 27);
  CHECK(toy_objective({"loss=sft", "reference=none"}, -1).noising_key() != toy_objective({}).noising_key());
}

TEST_CASE("reference: cached without a policy computes with a copy, to the bit the same") {
  Adapted adapted;
  const auto config = objective({"reference=cached", "reference_draws=1"});
  Objective one = made(config, adapted.network.get(), fresh_folder("cached_off")), two = made(config, nullptr, fresh_folder("cached_copy"));
  const Batch batch = pairs({3, 5});
  const Noising draw = one.draw(batch, 4);
  expect_equal("reference", one.evaluate(adapted.policy, batch, draw).reference, two.evaluate(adapted.policy, batch, draw).reference);
}

TEST_CASE("reference: draws take turns only with a cache, and a loss that needs no reference has none") {
  CHECK(reference_draws(objective({"reference=cached", "reference_draws=8"})) == 8);
  CHECK(reference_draws(objective({})) == 0);
  CHECK(reference_draws(objective({"loss=sft", "reference=cached"})) == 0);
}
