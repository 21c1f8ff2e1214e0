// Which timesteps are drawn, by the policies that are more than a range.
#include <doctest/doctest.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/diffusion/rectified_flow.h"
#include "tests/support/expect_close.h"
#include "tests/unit/objective/toy.h"

using namespace palate;
using namespace palate::test;

namespace {

const RectifiedFlow& toy_flow() {
  static const RectifiedFlow flow(Json{{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}});
  return flow;
}

std::vector<double> draws(const TimestepPolicy& policy, const NoiseProcess& process, uint64_t count) {
  std::vector<double> t;
  for (uint64_t i = 0; i < count; ++i) {
    Generator generator({0, i, 0, Purpose::timestep});
    t.push_back(policy.draw(process, generator).t);
  }
  return t;
}

double share_below(const std::vector<double>& t, double limit) {
  return static_cast<double>(std::count_if(t.begin(), t.end(), [&](double each) { return each < limit; })) / static_cast<double>(t.size());
}

std::unique_ptr<TimestepPolicy> importance(std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"timesteps=importance", "mask_after=1"});
  return make_timestep_policy(objective(overrides));
}

// Pairs at t whose preferred picture has weight w, and whose rejected one has weight 1.
void show(TimestepPolicy& policy, const std::vector<int64_t>& t, const std::vector<double>& w) {
  Batch batch;
  batch.views = 2;
  batch.visits.resize(t.size());
  const Tensor times = torch::tensor(t), earlier = (times - 20).clamp_min(0);
  Noised noised{.x0 = {}, .noise = {}, .x_t = {}, .target = {}, .t = at::cat({times, times}), .previous_t = at::cat({earlier, earlier})};
  noised.process = &toy_schedule();
  const Tensor omega = noised.process->omega(times, earlier).to(torch::kFloat64);
  const Tensor c = (torch::tensor(w, torch::kFloat64).log() * -2 / omega).sqrt();
  const Branch branch{.d = {}, .residual = {}, .output = at::cat({c, torch::zeros_like(c)}).view({-1, 1}).expand({-1, 4})};
  policy.observe({branch, {}, batch, noised});
}

double mean(const TimestepPolicy& policy, const char* bucket) { return policy.metrics().at(std::string("importance/") + bucket); }

}  // namespace

TEST_CASE("timesteps logit-normal: t / T has the logit's quantiles, whole timesteps and flows alike") {
  // P(t < T sigmoid(m + q s)) is the normal distribution's at q: 0.1587 at -1, 0.5 at 0, 0.8413 at 1. Five deviations of 10000: 0.025.
  for (const auto& [mean, std] : {std::pair{0.0, 1.0}, {0.7, 0.5}}) {
    const auto policy = make_timestep_policy(
        objective({"timesteps=logit-normal", "logit_mean=" + std::to_string(mean), "logit_std=" + std::to_string(std)}));
    for (const NoiseProcess* process : {static_cast<const NoiseProcess*>(&toy_schedule()), static_cast<const NoiseProcess*>(&toy_flow())}) {
      const auto t = draws(*policy, *process, 10000);
      for (const auto& [q, share] : {std::pair{-1.0, 0.1587}, {0.0, 0.5}, {1.0, 0.8413}})
        CHECK(std::abs(share_below(t, 1000 / (1 + std::exp(-(mean + q * std)))) - share) < 0.025);
      for (const double each : t) {
        REQUIRE(each >= process->range().first);
        REQUIRE(each <= process->range().last);
        if (process->range().whole) REQUIRE(each == std::floor(each));
      }
    }
  }
  // The ends of what can be drawn stay within the range.
  for (const char* end : {"logit_mean=20", "logit_mean=-20"}) {
    const auto policy = make_timestep_policy(objective({"timesteps=logit-normal", end, "logit_std=0"}));
    const bool noisy = end[11] != '-';
    CHECK(draws(*policy, toy_schedule(), 1)[0] == (noisy ? 999 : 0));
    CHECK(draws(*policy, toy_flow(), 1)[0] == doctest::Approx(noisy ? 1000 : 1));
  }
}

TEST_CASE("timesteps importance: uniform's draws to the bit while nothing is masked, whatever was only seen") {
  const auto policy = importance({"t_min=10", "t_max=600"});
  const auto uniform = draws(*make_timestep_policy(objective({"t_min=10", "t_max=600"})), toy_schedule(), 500);
  CHECK(draws(*policy, toy_schedule(), 500) == uniform);
  show(*policy, {20, 30, 500}, {0.1, 0.2, 0.95});
  CHECK(draws(*policy, toy_schedule(), 500) == uniform);  // until the step's end
  policy->end_step({});
  CHECK_FALSE(draws(*policy, toy_schedule(), 500) == uniform);
  CHECK(draws(*policy->fixed(), toy_schedule(), 500) == uniform);
  CHECK(draws(*importance(), toy_flow(), 500) == draws(*make_timestep_policy(objective({})), toy_flow(), 500));
}

TEST_CASE("timesteps importance: a masked bucket is drawn mask_keep times as often as the others") {
  const auto policy = importance({"mask_keep=0.2"});
  show(*policy, {20, 30, 500}, {0.1, 0.2, 0.95});
  policy->end_step({});
  CHECK(mean(*policy, "b00") == doctest::Approx(0.15));
  CHECK(mean(*policy, "b10") == doctest::Approx(0.95));
  CHECK(mean(*policy, "b05") == 1);  // not seen
  CHECK(policy->metrics().at("importance/masked") == doctest::Approx(1.0 / 20));
  // b00 is t < 50: 0.05 * 0.2 of 0.05 * 0.2 + 0.95. Five deviations of 20000: 0.0036.
  CHECK(std::abs(share_below(draws(*policy, toy_schedule(), 20000), 50) - 0.01 / 0.96) < 0.0036);
}

TEST_CASE("timesteps importance: the running mean is plain at first, and then forgets") {
  const auto policy = importance({"mask_decay=0.5"});
  const double expected[] = {0.8, 0.7, 0.8};  // 0.8; its mean with 0.6; then half of 0.7 and half of 0.9, not a third
  const double shown[] = {0.8, 0.6, 0.9};
  for (int i = 0; i < 3; ++i) {
    show(*policy, {120}, {shown[i]});
    policy->end_step({});
    CHECK(mean(*policy, "b02") == doctest::Approx(expected[i]));
  }
}

TEST_CASE("timesteps importance: a quantile masks the lowest of the buckets that were seen, and nothing if all are equally low") {
  const auto policy = importance({"mask_quantile=0.25"});
  show(*policy, {120, 220, 320, 420}, {0.95, 0.97, 0.99, 0.93});
  policy->end_step({});
  CHECK(policy->metrics().at("importance/masked") == doctest::Approx(1.0 / 20));  // b08
  CHECK(share_below(draws(*policy, toy_schedule(), 2000), 450) - share_below(draws(*policy, toy_schedule(), 2000), 400) < 0.02);
  const auto low = importance();
  show(*low, {120, 220}, {0.5, 0.6});
  low->end_step({});
  CHECK(low->metrics().at("importance/masked") == 0);
}

TEST_CASE("timesteps importance: no bucket is masked by its first few examples") {
  const auto policy = importance({"mask_after=3"});
  for (const double masked : {0.0, 0.0, 1.0 / 20}) {
    show(*policy, {20, 120}, {0.1, 0.99});
    policy->end_step({});
    CHECK(policy->metrics().at("importance/masked") == doctest::Approx(masked));
  }
}

TEST_CASE("timesteps importance: ranks that saw different pairs draw alike, as one process that saw all") {
  struct Capture : Ranks {
    Tensor mean(const Tensor& value) const override { return given = value.clone(); }
    mutable Tensor given;
  };
  struct Both : Ranks {
    explicit Both(Tensor mean) : all(std::move(mean)) {}
    Tensor mean(const Tensor&) const override { return all; }
    Tensor all;
  };
  const auto taught = [](bool first, bool second, const Ranks& ranks) {
    auto policy = importance();
    if (first) show(*policy, {20, 120}, {0.3, 0.99});
    if (second) show(*policy, {30}, {0.6});
    policy->end_step(ranks);
    return policy;
  };
  const Capture first, second;
  taught(true, false, first);
  taught(false, true, second);
  const Both both((first.given + second.given) / 2);
  const auto one = taught(true, false, both), other = taught(false, true, both), whole = taught(true, true, {});
  CHECK(one->metrics() == other->metrics());
  CHECK(mean(*one, "b00") == doctest::Approx(0.45));
  CHECK(one->metrics() == whole->metrics());
  CHECK(draws(*one, toy_schedule(), 500) == draws(*whole, toy_schedule(), 500));
}

TEST_CASE("timesteps importance: its state goes on to the bit, and a state of other buckets is refused") {
  const auto policy = importance();
  show(*policy, {20, 120, 777}, {0.3, 0.95, 0.8});
  policy->end_step({});
  std::map<std::string, Tensor> tensors;
  policy->save(tensors);
  const auto again = importance();
  again->load(tensors);
  for (TimestepPolicy* each : {policy.get(), again.get()}) {
    show(*each, {20, 777}, {0.4, 0.91});
    each->end_step({});
  }
  CHECK(again->metrics() == policy->metrics());
  CHECK(draws(*again, toy_schedule(), 500) == draws(*policy, toy_schedule(), 500));
  CHECK_THROWS_WITH_AS(importance({"mask_buckets=10"})->load(tensors), doctest::Contains("mask_buckets is 10, and the checkpoint has 20"),
                       UsageError);
  CHECK_NOTHROW(importance()->load({}));
}

TEST_CASE("timesteps importance: in the objective it learns from any loss in training, and from validation never") {
  for (const char* loss : {"loss=dpo", "loss=sdpo", "loss=kto"}) {
    CAPTURE(loss);
    ToyDenoiser network(0.9);
    Policy policy{network};
    Objective made = toy_objective({loss, "timesteps=importance", "sampler_steps=10"});
    Batch batch = toy_pairs({1, 2, 3, 4});
    batch = made.seen(batch);
    const auto before = made.timesteps().metrics();
    made.measure(policy, batch, made.draw_fixed(batch, 0));
    made.timesteps().end_step({});
    CHECK(made.timesteps().metrics() == before);
    const auto out = made.evaluate(policy, batch, made.draw(batch, 0));
    CHECK(out.metrics.at("importance/b00") == 1);  // what was seen counts from the step's end on
    made.timesteps().end_step({});
    CHECK_FALSE(made.timesteps().metrics() == before);
  }
}

TEST_CASE("timesteps importance: a cache of the reference's errors is of draws that do not change, and is refused") {
  CHECK_THROWS_WITH_AS(objective({"timesteps=importance", "reference=cached"}), doctest::Contains("a cache is of draws that do not"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(objective({"timesteps=importance", "mask_keep=0"}), doctest::Contains("mask_keep is 0"), ConfigError);
}
