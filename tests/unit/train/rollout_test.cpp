// What an epoch of the model's own pictures becomes: advantages, pairs, prompts, by hand.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/diffusion/rollout.h"
#include "palate/train/rollout/advantages.h"
#include "palate/train/rollout/lesson.h"
#include "palate/train/rollout/prompts.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

RunConfig rollout_run(const std::vector<std::string>& overrides) {
  RunConfig config;
  std::vector<std::string> all = {"model=m", "output=o", "train.validate_every=0", "rollout.prompts=[a]"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  load_config({.file_name = "", .file_text = "", .overrides = all}, [&](Fields& f) { config.visit(f); });
  return config;
}

Rollouts with_rewards(std::vector<double> rewards) {
  Rollouts made;
  made.epoch = 0;
  made.prompts = {0, 0, 0, 1, 1, 1};
  made.rewards = torch::tensor(rewards, torch::kFloat64);
  return made;
}

std::vector<std::pair<int64_t, int64_t>> of_rows(const std::vector<LessonRow>& rows) {
  std::vector<std::pair<int64_t, int64_t>> found;
  for (const auto& row : rows) found.emplace_back(row.win, row.lose);
  return found;
}

using Pairs = std::vector<std::pair<int64_t, int64_t>>;

}  // namespace

TEST_CASE("advantages: a prompt with too few rewards is compared with the epoch, later with its own last ones") {
  PromptStatistics statistics(3, 2);
  // Epoch: 1, 3, 5; mean 3, std sqrt(8/3). Prompt 7 has one reward, prompt 9 two: mean 4, std 1.
  const auto first = statistics.advantages({7, 9, 9}, {1, 3, 5});
  CHECK(first[0] == doctest::Approx(-2 / std::sqrt(8.0 / 3)).epsilon(1e-5));
  CHECK(first[1] == doctest::Approx(-1).epsilon(1e-5));
  CHECK(first[2] == doctest::Approx(1).epsilon(1e-5));
  // Of prompt 9's 3, 5, 7, 9 the last three stay: mean 7, std sqrt(8/3).
  const auto second = statistics.advantages({9, 9}, {7, 9});
  CHECK(second[0] == doctest::Approx(0).epsilon(1e-5));
  CHECK(second[1] == doctest::Approx(2 / std::sqrt(8.0 / 3)).epsilon(1e-5));
}

TEST_CASE("advantages: the statistics of prompts are saved to the bit") {
  PromptStatistics one(3, 2), other(3, 2);
  one.advantages({7, 9, 9}, {1.1, 3.3, 5.7});
  TensorMap tensors;
  one.save(tensors);
  other.load(tensors);
  CHECK(one.advantages({9, 7, 7}, {0.3, 0.1, 0.7}) == other.advantages({9, 7, 7}, {0.3, 0.1, 0.7}));
}

TEST_CASE("advantages: of a group, with its own deviation or the epoch's, and of the whole batch") {
  // Groups 1, 3 and 4, 4; all: mean 3, std sqrt(1.5).
  const std::vector<int64_t> prompts = {0, 0, 1, 1};
  const std::vector<double> rewards = {1, 3, 4, 4};
  const auto own = group_advantages(prompts, rewards, false), global = group_advantages(prompts, rewards, true),
             all = batch_advantages(rewards);
  CHECK(own[0] == doctest::Approx(-1 / 1.0001));
  CHECK(own[2] == 0);
  CHECK(global[1] == doctest::Approx(1 / (std::sqrt(1.5) + 1e-4)));
  CHECK(all[0] == doctest::Approx(-2 / std::sqrt(1.5)).epsilon(1e-5));
  CHECK_FALSE(alike(prompts, rewards).at(0));
  CHECK(alike(prompts, rewards).at(1));
  CHECK_FALSE(alike({5}, {1}).at(5));  // one picture is not a group
}

TEST_CASE("pairs: the best with the worst, or all; ties and near ones make none") {
  const Rollouts made = with_rewards({1, 5, 2, 4, 4, 4});
  RolloutConfig config;
  config.pictures = 3;
  CHECK(of_rows(picture_pairs(made, config)) == Pairs{{1, 0}});
  config.pairing = "all";
  CHECK(of_rows(picture_pairs(made, config)) == Pairs{{1, 0}, {2, 0}, {1, 2}});
  config.min_gap = 2;
  CHECK(of_rows(picture_pairs(made, config)) == Pairs{{1, 0}, {1, 2}});
}

TEST_CASE("rollouts: saved and loaded to the bit, and none where none were saved") {
  Rollouts made = with_rewards({1, 5, 2, 4, 4, 4});
  made.epoch = 3;
  made.x = torch::randn({3, 6, 4, 2, 2});
  made.log_prob = torch::randn({2, 6});
  made.advantages = torch::randn({6}, torch::kFloat64);
  TensorMap tensors;
  made.save(tensors);
  const Rollouts loaded = Rollouts::load(tensors);
  CHECK(loaded.epoch == 3);
  CHECK(loaded.prompts == made.prompts);
  test::expect_equal("x", loaded.x, made.x);
  test::expect_equal("log_prob", loaded.log_prob, made.log_prob);
  test::expect_equal("advantages", loaded.advantages, made.advantages);
  CHECK_FALSE(loaded.win.defined());
  CHECK(Rollouts::load({}).epoch == -1);
}

TEST_CASE("prompts: a file, the world and a text; an epoch takes each once before any comes again") {
  const auto folder = test::fresh_folder("rollout_prompts");
  test::write_text(folder / "some.txt", "a cat\n\na dog\n");
  const auto all = read_rollout_prompts({"a fox", (folder / "some.txt").string(), "world:3"});
  REQUIRE(all.size() == 6);
  CHECK(all[0] == "a fox");
  CHECK(all[2] == "a dog");
  CHECK_THROWS_WITH_AS(read_rollout_prompts({"world:x"}), doctest::Contains("expected world or world:N"), UsageError);
  CHECK_THROWS_AS(read_rollout_prompts({(folder / "none.txt").string()}), UsageError);
  const auto drawn = drawn_prompts(4, 6, 1, 2);
  CHECK(drawn.size() == 6);
  CHECK(std::set<int64_t>(drawn.begin(), drawn.end()).size() == 4);
  CHECK(std::is_sorted(drawn.begin(), drawn.end()));
  CHECK(drawn == drawn_prompts(4, 6, 1, 2));
  CHECK(drawn_prompts(100, 5, 1, 2) != drawn_prompts(100, 5, 1, 3));
}

TEST_CASE("rollout config: how many rows a step has") {
  CHECK(most_lesson_rows(rollout_run({"objective.loss=ddpo", "rollout.prompts_per_epoch=3", "rollout.pictures=2", "rollout.steps=10",
                                      "rollout.timestep_fraction=0.5", "rollout.updates=4"})) == 2 * 5);
  CHECK(most_lesson_rows(rollout_run({"objective.loss=d3po", "rollout.prompts_per_epoch=3", "rollout.pictures=4", "rollout.steps=10",
                                      "rollout.pairing=all", "rollout.updates=2"})) == 9 * 10);
  CHECK(most_lesson_rows(rollout_run({"objective.loss=spo", "rollout.prompts_per_epoch=3", "rollout.pictures=1", "rollout.steps=10",
                                      "rollout.divert_step=4", "rollout.updates=3"})) == 6);
  CHECK(most_lesson_rows(rollout_run({"objective.loss=dpo", "rollout.prompts_per_epoch=8", "rollout.updates=2"})) == 4);
}

TEST_CASE("rollout config: what cannot be is said") {
  const auto refused = [](const std::vector<std::string>& overrides, const char* words) {
    CHECK_THROWS_WITH_AS(rollout_run(overrides), doctest::Contains(words), ConfigError);
  };
  refused({"objective.loss=ddpo", "rollout.prompts=[]"}, "name prompts in rollout.prompts");
  refused({"objective.loss=sft"}, "learns neither from rewards nor from pairs");
  refused({"objective.loss=ddpo", "data.pairs=[x.parquet]"}, "keep one");
  refused({"objective.loss=ddpo", "train.accumulation=2"}, "leave it at 1");
  refused({"objective.loss=ddpo", "lora.dropout=0.1"}, "set it to 0");
  refused({"objective.loss=ddpo", "rollout.eta=0"}, "no density");
  refused({"objective.loss=d3po", "rollout.pictures=1"}, "at least 2 of them");
  refused({"objective.loss=dpok", "objective.reference=cached"}, "errors on disk");
  refused({"objective.loss=dpo", "rollout.prompts=[]", "objective.reference=snapshot", "data.pairs=[x.parquet]"},
          "snapshot is for training");
}

namespace {

// Scores by the red of the last pixel; from the `bad`th picture on, nan.
class RedJudge : public Judge {
 public:
  explicit RedJudge(int64_t bad) : bad_(bad) {}
  std::string name() const override { return "red"; }
  std::string identity() const override { return "red"; }
  void require(int64_t, int64_t, const std::vector<std::string>&) const override {}
  Scores score(const Tensor& pictures, const std::vector<std::string>&) override {
    Tensor total = pictures.select(1, 0).select(1, -1).select(1, -1).to(torch::kFloat64).clone();
    for (int64_t i = 0; i < total.numel(); ++i, ++seen_) {
      if (seen_ >= bad_) total[i] = std::nan("");
    }
    return {total, {}};
  }

 private:
  int64_t bad_, seen_ = 0;
};

struct Sampling {
  explicit Sampling(Keeps keeps, int64_t bad = 1000) : judge(bad) {
    config.prompts_per_epoch = 2;
    config.pictures = 3;
    config.steps = 4;
    config.batch = 4;
    config.divert_step = 1;
    config.candidates = 3;
    config.threshold = 0;
    config.guidance_scale = 3;
    sampler.emplace(pipeline, config, step, judge, keeps, 11);
  }
  Rollouts epoch(int64_t number) { return sampler->sample(number, {0, 1}, states); }

  Pipeline pipeline{test::golden("tiny_pipeline")};
  RolloutConfig config;
  GaussianStep step{pipeline.noise_process(), pipeline.scheduler_config(), 3, 1};
  RedJudge judge;
  PromptStates states{pipeline, {"a thing", "another thing"}, true};
  std::optional<RolloutSampler> sampler;
};

}  // namespace

TEST_CASE("sampling: an epoch's ways keep their log-probabilities, which are recovered to 1e-5, and no batch changes a picture") {
  Sampling it(Keeps::path);
  const Rollouts made = it.epoch(2);
  REQUIRE(made.x.size(0) == 5);
  REQUIRE(made.x.size(1) == 6);
  CHECK(made.prompts == std::vector<int64_t>{0, 0, 0, 1, 1, 1});
  const torch::NoGradGuard no_grad;
  const GaussianStep::Grid grid = it.step.grid(4);
  const PromptStates::States text = it.states.of(made.prompts);
  for (int64_t i = 0; i < 4; ++i) {
    if (!it.step.draws(grid.s[static_cast<size_t>(i)])) continue;
    const Tensor t = torch::full({6}, grid.t[static_cast<size_t>(i)], torch::kInt64),
                 s = torch::full({6}, grid.s[static_cast<size_t>(i)], torch::kInt64);
    const Tensor predicted = it.step.predict(it.pipeline.denoiser(), made.x[i], t, text.positive, text.negative);
    test::expect_close("log density", log_prob(made.x[i + 1], it.step.transition(predicted, made.x[i], t, s)), made.log_prob[i], 1e-5);
  }
  it.config.batch = 1;
  test::expect_close("one by one", it.epoch(2).x, made.x, 1e-4);
  CHECK_FALSE(torch::equal(it.epoch(3).x, made.x));
}

TEST_CASE("sampling: spo's way goes through candidates, of which the best and the worst are kept") {
  Sampling it(Keeps::candidates);
  const Rollouts made = it.epoch(0);
  REQUIRE(made.win.size(0) == 4);
  CHECK(made.differ[0].sum().item<int64_t>() == 0);  // before divert_step
  for (int64_t i = 1; i < 4; ++i) {
    for (int64_t n = 0; n < 6; ++n) {
      if (made.differ[i][n].item<uint8_t>() != 0) CHECK_FALSE(torch::equal(made.win[i][n], made.lose[i][n]));
    }
  }
  CHECK(made.differ.sum().item<int64_t>() > 0);
}

TEST_CASE("sampling: a score that is no number names judge, prompt and epoch") {
  Sampling it(Keeps::end, 5);
  CHECK_THROWS_WITH_AS(it.epoch(1), doctest::Contains("epoch 2: the judge 'red' gave nan for a picture of \"another thing\""), DataError);
}
