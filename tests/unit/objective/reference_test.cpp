// References on a real U-Net, small.
#include <doctest/doctest.h>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/noising.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

const std::filesystem::path model() { return golden("tiny_model/unet"); }

struct Policy {
  std::unique_ptr<Denoiser> network = load_denoiser(model());
  Lora lora = Lora::inject(network->module(), {.rank = 2, .targets = {"to_q", "conv1"}}, 0);
  Policy() {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, value] : lora.parameters()) value.add_(0.1);  // away from the base
  }
};

PairBatch pairs(const std::vector<uint64_t>& ids) { return toy_pairs(ids, 4, 8, 12); }

ReferenceSetup setup(Denoiser* policy, const NoiseSchedule& schedule, const std::filesystem::path& folder, int64_t* batches = nullptr) {
  ReferenceSetup setup;
  setup.policy = policy;
  setup.denoiser_folder = model();
  setup.schedule = &schedule;
  setup.folder = folder;
  setup.weights_hash = "tiny";
  setup.batch = 2;
  const auto batch = [batches](const std::vector<int64_t>& rows, const std::vector<uint64_t>&) {
    if (batches) ++*batches;
    return pairs({rows.begin(), rows.end()});
  };
  setup.parts = {{.rows = {3, 5, 8}, .seed = 4, .batch = batch, .key = "toy"}, {.rows = {1, 2}, .seed = 9, .batch = batch, .key = "toy"}};
  return setup;
}

}  // namespace

TEST_CASE("reference: adapters off equals a frozen copy to the bit") {
  Policy policy;
  const auto schedule = toy_schedule();
  const auto off_config = objective({"reference=adapters_off"}), copy_config = objective({"reference=frozen_copy"});
  const auto off = make_objective(off_config, schedule, make_reference(off_config, setup(policy.network.get(), schedule, "")));
  const auto copy = make_objective(copy_config, schedule, make_reference(copy_config, setup(policy.network.get(), schedule, "")));
  const PairBatch batch = pairs({1, 2, 3});
  const Draw draw = off->draw(batch, {0, 1, 2}, 5);
  const auto a = off->evaluate(*policy.network, batch, draw, {0, 1, 2}), b = copy->evaluate(*policy.network, batch, draw, {0, 1, 2});
  expect_equal("reference_win", a.errors.reference_win, b.errors.reference_win);
  expect_equal("reference_lose", a.errors.reference_lose, b.errors.reference_lose);
  expect_equal("loss", a.loss.detach(), b.loss.detach());
  CHECK_FALSE(torch::equal(a.errors.policy_win, a.errors.reference_win));
  CHECK(adapters_on());
}

TEST_CASE("reference: a fresh LoRA starts at log 2 with z = 0") {
  const auto network = load_denoiser(model());
  const auto lora = Lora::inject(network->module(), {.rank = 2}, 0);
  const auto schedule = toy_schedule();
  const auto config = objective({});
  const auto made = make_objective(config, schedule, make_reference(config, setup(network.get(), schedule, "")));
  const PairBatch batch = pairs({1, 2});
  const auto out = made->evaluate(*network, batch, made->draw(batch, {0, 0}, 0), {0, 0});
  CHECK(out.terms.logits.abs().max().item<double>() == 0);
  CHECK(out.loss.item<double>() == doctest::Approx(std::log(2.0)));
}

TEST_CASE("reference: cached errors are those of adapters off at draw modulo K") {
  Policy policy;
  const auto schedule = toy_schedule();
  const auto folder = fresh_folder("cached");
  const auto config = objective({"reference=cached", "reference_draws=3"});
  int64_t batches = 0;
  const auto cached = make_objective(config, schedule, make_reference(config, setup(policy.network.get(), schedule, folder, &batches)));
  CHECK(batches == 3 * 2 + 3 * 1);
  const auto plain_config = objective({});
  const auto plain = make_objective(plain_config, schedule, make_reference(plain_config, setup(policy.network.get(), schedule, "")));
  const std::vector<uint64_t> draws = {7, 2};  // 7 modulo 3 is 1
  const PairBatch batch = pairs({8, 3});
  const Draw draw = cached->draw(batch, draws, 4), same = plain->draw(batch, {1, 2}, 4);
  expect_equal("noise", draw.noise, same.noise);
  expect_equal("t", draw.t, same.t);
  const auto a = cached->evaluate(*policy.network, batch, draw, draws), b = plain->evaluate(*policy.network, batch, same, {1, 2});
  expect_close("reference_win", a.errors.reference_win, b.errors.reference_win, 1e-6);  // another batch: rounding
  expect_close("reference_lose", a.errors.reference_lose, b.errors.reference_lose, 1e-6);
  // The second part, and a row that no part has.
  CHECK_NOTHROW(cached->evaluate(*policy.network, pairs({2}), cached->draw(pairs({2}), {0}, 9), {0}));
  CHECK_THROWS_WITH_AS(cached->evaluate(*policy.network, pairs({77}), cached->draw(pairs({77}), {0}, 9), {0}), doctest::Contains("row 77"),
                       Error);

  // Found again, without a policy (full training) and without computing anything.
  make_reference(config, setup(nullptr, schedule, folder, &batches));
  CHECK(batches == 9);
  // Another K, timestep range or model is another file.
  make_reference(objective({"reference=cached", "reference_draws=3", "t_max=500"}),
                 setup(policy.network.get(), schedule, folder, &batches));
  CHECK(batches == 18);
}

TEST_CASE("reference: cached without a policy computes with a copy, to the bit the same") {
  Policy policy;
  const auto schedule = toy_schedule();
  const auto config = objective({"reference=cached", "reference_draws=1"});
  const auto one =
      make_objective(config, schedule, make_reference(config, setup(policy.network.get(), schedule, fresh_folder("cached_off"))));
  const auto two = make_objective(config, schedule, make_reference(config, setup(nullptr, schedule, fresh_folder("cached_copy"))));
  const PairBatch batch = pairs({3, 5});
  const Draw draw = one->draw(batch, {0, 0}, 4);
  expect_equal("reference_win", one->evaluate(*policy.network, batch, draw, {0, 0}).errors.reference_win,
               two->evaluate(*policy.network, batch, draw, {0, 0}).errors.reference_win);
}

TEST_CASE("reference: effective draws repeat only with a cache") {
  CHECK(effective_draw(objective({"reference=cached", "reference_draws=8"}), 19) == 3);
  CHECK(effective_draw(objective({}), 19) == 19);
}
