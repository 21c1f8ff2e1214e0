// The loop on a task that has neither pictures nor a network: a line through points, with a timestep policy that learns.
#include "palate/train/loop.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/diffusion/schedule.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/objective/timestep_policy.h"
#include "palate/train/update.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

constexpr int64_t steps = 12, bins = 4;

// Draws the bin with the largest running error: a policy whose draws depend on all that it saw.
class Hardest : public TimestepPolicy {
 public:
  Timestep draw(const NoiseProcess&, Generator& generator) const override {
    const bool explore = generator.uniform() < 0.3;
    return {.t = static_cast<double>(explore ? generator.below(bins) : errors_.argmax().item<int64_t>())};
  }
  void check_steps(const NoiseProcess&) const override {}
  void observe(const Statistics& s) override {
    for (int64_t i = 0; i < s.noised.t.size(0); ++i) {
      Tensor bin = seen_[s.noised.t[i].item<int64_t>()];
      bin.copy_(0.5 * bin + 0.5 * s.policy.d[i].detach());
    }
  }
  void end_step(const Ranks&) override { errors_.copy_(seen_); }
  void save(std::map<std::string, Tensor>& tensors) const override {
    tensors["timesteps.errors"] = errors_;
    tensors["timesteps.seen"] = seen_;
  }
  void load(const std::map<std::string, Tensor>& tensors) override {
    errors_.copy_(tensors.at("timesteps.errors"));
    seen_.copy_(tensors.at("timesteps.seen"));
  }
  std::unique_ptr<TimestepPolicy> fixed() const override { return std::make_unique<Hardest>(); }

 private:
  Tensor errors_ = torch::zeros({bins}, torch::kFloat64), seen_ = torch::zeros({bins}, torch::kFloat64);
};

class Line : public Task {
 public:
  explicit Line(int64_t kill_at = -1) : kill_at_(kill_at) {
    slope_ = torch::zeros({bins}).set_requires_grad(true);
    parameters_.add({.names = {"slope"}, .values = {slope_}});
    parameters_.add({.lr = 0.01, .names = {"shift"}, .values = {shift_ = torch::zeros({1}).set_requires_grad(true)}});
  }

  Parameters& parameters() override { return parameters_; }
  Pass pass(int64_t step, int64_t part, double, const Ranks&) override {
    if (step == kill_at_ && part == 1) std::raise(SIGKILL);
    Batch batch;
    batch.visits = {{.id = static_cast<uint64_t>(2 * step + part)}};
    Generator generator({7, batch.visits[0].id, 0, Purpose::timestep});
    const auto t = static_cast<int64_t>(policy_.draw(schedule_, generator).t);
    Generator points({7, batch.visits[0].id, 0, Purpose::test});
    const Tensor x = points.uniform({1}), wanted = x * static_cast<double>(t + 1) + 0.5;
    Noised noised;
    noised.t = torch::tensor({t});
    const Tensor losses = (slope_[t] * x + shift_ - wanted).square();
    policy_.observe({{losses, {}}, {}, batch, noised});
    drawn.push_back(t);
    return {.loss = losses.mean(), .losses = losses.detach(), .visits = batch.visits};
  }
  void after_update(const Ranks& ranks) override { policy_.end_step(ranks); }
  Metrics validate() override { return {{"held_out/loss", (slope_ - torch::arange(1.0, bins + 1.0)).square().mean().item<double>()}}; }
  void save(TensorMap& tensors) const override { policy_.save(tensors); }
  void load(const TensorMap& tensors) override { policy_.load(tensors); }
  void write(const fs::path& folder, const TrainState&) const override {
    save_safetensors(folder / "line.safetensors", {{"slope", slope_.detach()}, {"shift", shift_.detach()}});
  }

  std::vector<int64_t> drawn;
  Tensor slope() const { return slope_.detach(); }
  Tensor shift() const { return shift_.detach(); }

 private:
  int64_t kill_at_;
  Tensor slope_, shift_;
  Parameters parameters_;
  Hardest policy_;
  NoiseSchedule schedule_{Json::object()};
};

LoopConfig config(const std::string& resume = "") {
  LoopConfig loop;
  loop.resume = resume;
  loop.how_to_go_on = "go on";
  loop.steps = steps;
  loop.accumulation = 2;
  loop.ema = 0.5;
  loop.rate = [](const Parameters::Group& group, int64_t, double) { return group.lr > 0 ? group.lr : 0.1; };
  loop.log_every = 1;
  loop.validate_every = 4;
  loop.checkpoint_every = 2;
  loop.keep_best = false;
  return loop;
}

std::string timeless(const fs::path& run) {
  std::string text;
  read_jsonl(run / "metrics.jsonl", [&](Json line, int64_t) {
    for (const char* name : {"memory_gb", "examples_per_second"}) line.erase(name);
    text += line.dump() + "\n";
  });
  return text;
}

}  // namespace

TEST_CASE("loop: killed by SIGKILL and resumed gives the bits of an uninterrupted run, the state of a learning policy among them") {
  const fs::path whole = fresh_folder("line_whole"), broken = fresh_folder("line_killed");
  Line uninterrupted;
  const TrainResult result = run_loop(uninterrupted, config(), whole);
  CHECK(result.steps == steps);
  CHECK_FALSE(result.interrupted);
  const pid_t child = fork();
  if (child == 0) {
    Line line(7);  // dies in the middle of step 8, after the checkpoint of step 6
    run_loop(line, config(), broken);
    _exit(3);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(checkpoint_steps(broken) == std::vector<int64_t>{2, 4, 6});
  Line resumed;
  run_loop(resumed, config("latest"), broken);
  CHECK(resumed.drawn == std::vector<int64_t>(uninterrupted.drawn.begin() + 12, uninterrupted.drawn.end()));
  expect_equal("slope", resumed.slope(), uninterrupted.slope());
  CHECK(timeless(broken) == timeless(whole));
  CHECK(read_file(broken / "line.safetensors") == read_file(whole / "line.safetensors"));
}

TEST_CASE("loop: data that cannot be used ends a run with a checkpoint, from which it goes on to the bit") {
  struct Refusing : Line {
    Pass pass(int64_t step, int64_t part, double progress, const Ranks& ranks) override {
      check<DataError>(step != 5, "the judge gave nan");
      return Line::pass(step, part, progress, ranks);
    }
  } refusing;
  const fs::path whole = fresh_folder("line_whole_data"), broken = fresh_folder("line_refused");
  Line uninterrupted, resumed;
  run_loop(uninterrupted, config(), whole);
  try {
    run_loop(refusing, config(), broken);
    FAIL("it went on");
  } catch (const DataError& error) {
    const std::string said = error.what();
    INFO(said);
    CHECK(said.find("the judge gave nan") == 0);
    CHECK(said.find("checkpoint-5") != std::string::npos);
    CHECK(said.find("go on") != std::string::npos);
  }
  run_loop(resumed, config("latest"), broken);
  expect_equal("slope", resumed.slope(), uninterrupted.slope());
  CHECK(read_file(broken / "line.safetensors") == read_file(whole / "line.safetensors"));
}

TEST_CASE("loop: it trains, each group at its own rate, and the result is the running mean") {
  struct Watched : Line {
    void after_update(const Ranks& ranks) override {
      Line::after_update(ranks);
      slopes.push_back(slope().clone());
      shifts.push_back(shift().clone());
    }
    std::vector<Tensor> slopes, shifts;
  } line;
  const fs::path folder = fresh_folder("line_trained");
  LoopConfig longer = config();
  longer.steps = 400;
  longer.checkpoint_every = 0;
  const TrainResult result = run_loop(line, longer, folder);
  CHECK(result.metrics.at("held_out/loss") < 0.05);
  CHECK(checkpoint_steps(folder).empty());
  // AdamW's first step moves a value by its rate.
  CHECK(line.slopes[0].abs().max().item<double>() == doctest::Approx(0.1).epsilon(1e-4));
  CHECK(line.shifts[0].abs().item<double>() == doctest::Approx(0.01).epsilon(1e-4));
  // diffusers' running mean: the decay begins at 0 and grows to the config's.
  const auto mean = [](const std::vector<Tensor>& values) {
    Tensor running = values[0];
    for (size_t i = 1; i < values.size(); ++i) {
      const double decay = std::min(0.5, (1.0 + static_cast<double>(i)) / (10.0 + static_cast<double>(i)));
      running = decay * running + (1 - decay) * values[i];
    }
    return running;
  };
  const SafetensorsFile written(folder / "line.safetensors");
  expect_close("slope", written.tensor("slope"), mean(line.slopes), 1e-6);
  expect_close("shift", written.tensor("shift"), mean(line.shifts), 1e-6);
  CHECK(relative_error(line.slopes.back(), mean(line.slopes)) > 1e-4);  // the last values are no mean
}

TEST_CASE("loop: a loss that is not a number updates nothing and names its example") {
  struct Broken : Line {
    Pass pass(int64_t step, int64_t part, double progress, const Ranks& ranks) override {
      Pass pass = Line::pass(step, part, progress, ranks);
      if (step == 2) pass.losses = pass.losses * NAN, pass.loss = pass.loss * NAN;
      return pass;
    }
  } line;
  const fs::path folder = fresh_folder("line_broken");
  CHECK_THROWS_WITH_AS(run_loop(line, config(), folder), doctest::Contains("step 3: the loss is not a finite number"), Error);
  CHECK(line.slope().isfinite().all().item<bool>());
}

TEST_CASE("update: the loss is among the numbers that are logged, whatever the task says of itself") {
  Line line;
  Update update(line, {}, 0);
  const StepReport report = update.step(0, 2, 0, {}, [](const Parameters::Group&) { return 0.1; });
  REQUIRE(report.passes.size() == 2);
  CHECK(report.loss == doctest::Approx((report.passes[0].metrics.at("loss") + report.passes[1].metrics.at("loss")) / 2));
  CHECK(report.passes[0].metrics.at("loss") == report.passes[0].loss.item<double>());
}

TEST_CASE("task: the better of two states has the higher accuracy, or where there is none the lower loss") {
  const Line line;
  CHECK(line.value({{"held_out/loss", 0.7}, {"held_out/accuracy", 0.625}}) == 0.625);
  CHECK(line.value({{"held_out/loss", 0.7}}) == -0.7);
}

TEST_CASE("update: whatever happens while the running mean is in place, the values come back") {
  Line line;
  Update update(line, OptimizerConfig{}, 0.5);
  update.step(0, 2, 0, {}, [](const Parameters::Group&) { return 0.1; });
  update.step(1, 2, 0, {}, [](const Parameters::Group&) { return 0.1; });
  const Tensor before = line.slope().clone();
  CHECK_THROWS_AS(update.with_mean([&] {
    CHECK_FALSE(line.slope().equal(before));
    throw Error("a full disk");
  }),
                  Error);
  expect_equal("values", line.slope(), before);
}
