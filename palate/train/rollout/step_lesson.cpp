// Steps of the pictures' ways: DDPO, DPOK, D3PO, SPO, Flow-GRPO.
#include <torch/types.h>

#include <algorithm>

#include "palate/core/generator.h"
#include "palate/train/rollout/advantages.h"
#include "palate/train/rollout/lesson.h"

namespace palate {
namespace {

std::vector<int64_t> steps_that_draw(const GaussianStep& step, int64_t count) {
  std::vector<int64_t> found;
  const GaussianStep::Grid grid = step.grid(count);
  for (int64_t i = 0; i < count; ++i) {
    if (step.draws(grid.s[static_cast<size_t>(i)])) found.push_back(i);
  }
  return found;
}

// Of each picture, as ddpo-pytorch counts them.
int64_t trained_steps(const RolloutConfig& config) {
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(config.steps) * config.timestep_fraction));
}

// [rows, ...]: values [S, N, ...] at each row's step and picture.
Tensor at_rows(const Tensor& values, const std::vector<int64_t>& steps, const std::vector<int64_t>& pictures) {
  return values.index({torch::tensor(steps, torch::kInt64), torch::tensor(pictures, torch::kInt64)});
}

class StepLesson : public Lesson {
 public:
  StepLesson(const RunConfig& config, const GaussianStep& step, StepObjective& objective)
      : config_(config.rollout),
        seed_(static_cast<uint64_t>(config.seed)),
        objective_(objective),
        grid_(step.grid(config.rollout.steps)),
        steps_(steps_that_draw(step, config.rollout.steps)) {
    trained_ = std::min(trained_steps(config_), static_cast<int64_t>(steps_.size()));
  }

  Keeps keeps() const override { return compares() == Compares::candidates ? Keeps::candidates : Keeps::path; }

  std::vector<LessonItem> items(const Rollouts& rollouts, int64_t inner) const override {
    std::vector<LessonItem> found;
    if (compares() == Compares::candidates) {
      for (int64_t n = 0; n < rollouts.count(); ++n) {
        for (int64_t i = 0; i < config_.steps; ++i) {
          if (rollouts.differ[i][n].item<uint8_t>() != 0) found.push_back({{.win = n, .step = i}});
        }
      }
      return found;
    }
    if (compares() == Compares::paths) {
      for (const LessonRow& pair : picture_pairs(rollouts, config_)) found.push_back(steps_of(pair, rollouts.epoch, inner));
      return found;
    }
    std::vector<double> rewards(rollouts.rewards.const_data_ptr<double>(), rollouts.rewards.const_data_ptr<double>() + rollouts.count());
    const auto same = alike(rollouts.prompts, rewards);
    for (int64_t n = 0; n < rollouts.count(); ++n) {
      const bool left_out = objective_.needs().groups && same.at(rollouts.prompts[static_cast<size_t>(n)]);
      if (!left_out) found.push_back(steps_of({.win = n}, rollouts.epoch, inner));
    }
    return found;
  }

  LessonOutput evaluate(Policy& policy, const Rollouts& rollouts, const std::vector<LessonRow>& rows, PromptStates& states,
                        int64_t) const override {
    const StepOutput out = objective_.evaluate(policy, batch(rollouts, rows, states, policy));
    return {out.losses, step_metrics(out)};
  }

 private:
  Compares compares() const { return objective_.needs().compares; }

  // The trained steps of one picture or pair, drawn anew each time.
  LessonItem steps_of(LessonRow row, int64_t epoch, int64_t inner) const {
    const uint64_t key = mix(mix(stable_hash("trained steps"), static_cast<uint64_t>(row.win)), static_cast<uint64_t>(row.lose + 1));
    Generator order({seed_, key, mix(static_cast<uint64_t>(epoch), static_cast<uint64_t>(inner)), Purpose::shuffle});
    const auto drawn = order.permutation(static_cast<int64_t>(steps_.size()));
    LessonItem item;
    for (int64_t i = 0; i < trained_; ++i) {
      row.step = steps_[static_cast<size_t>(drawn[static_cast<size_t>(i)])];
      item.push_back(row);
    }
    return item;
  }

  MadeSteps batch(const Rollouts& rollouts, const std::vector<LessonRow>& rows, PromptStates& states, const Policy& policy) const {
    std::vector<int64_t> steps, after, pictures, prompts, t, s;
    const auto add = [&](const LessonRow& row, int64_t picture) {
      steps.push_back(row.step);
      after.push_back(row.step + 1);
      pictures.push_back(picture);
      prompts.push_back(rollouts.prompts[static_cast<size_t>(picture)]);
      t.push_back(grid_.t[static_cast<size_t>(row.step)]);
      s.push_back(grid_.s[static_cast<size_t>(row.step)]);
    };
    for (const auto& row : rows) add(row, row.win);
    if (objective_.needs().pairs()) {
      for (const auto& row : rows) add(row, row.lose >= 0 ? row.lose : row.win);
    }
    const auto device = policy.network.module().parameters().front().device();
    const auto count = static_cast<int64_t>(rows.size());
    MadeSteps made;
    made.x_t = at_rows(rollouts.x, steps, pictures).to(device);
    made.t = torch::tensor(t, torch::kInt64).to(device);
    made.s = torch::tensor(s, torch::kInt64).to(device);
    if (keeps() == Keeps::candidates) {
      const auto half = [&](const Tensor& next) {
        return at_rows(next, {steps.begin(), steps.begin() + count}, {pictures.begin(), pictures.begin() + count});
      };
      made.x_s = torch::cat({half(rollouts.win), half(rollouts.lose)}).to(device);
    } else {
      made.x_s = at_rows(rollouts.x, after, pictures).to(device);
      made.old_log_prob = at_rows(rollouts.log_prob, steps, pictures).to(device);
    }
    if (!objective_.needs().pairs())
      made.advantages = rollouts.advantages.index_select(0, torch::tensor(pictures, torch::kInt64)).to(device, torch::kFloat32);
    const PromptStates::States text = states.of(prompts);
    made.positive = text.positive;
    made.negative = text.negative;
    return made;
  }

  RolloutConfig config_;
  uint64_t seed_;
  StepObjective& objective_;
  GaussianStep::Grid grid_;
  std::vector<int64_t> steps_;  // those that draw
  int64_t trained_ = 0;         // of them, in each item
};

}  // namespace

int64_t most_lesson_rows(const RunConfig& config) {
  const RolloutConfig& it = config.rollout;
  const bool on_steps = is_step_loss(config.objective.loss);
  const Compares compares = on_steps ? step_needs_of(config.objective).compares : Compares::paths;
  int64_t items = it.samples(), rows = on_steps ? trained_steps(it) : 1;
  if (compares == Compares::paths) items = it.prompts_per_epoch * (it.pairing == "all" ? it.pictures * (it.pictures - 1) / 2 : 1);
  if (compares == Compares::candidates) {
    items *= it.steps - it.divert_step;
    rows = 1;
  }
  return (items + it.updates - 1) / it.updates * rows;
}

std::vector<LessonRow> picture_pairs(const Rollouts& rollouts, const RolloutConfig& config) {
  std::vector<LessonRow> pairs;
  const double* reward = rollouts.rewards.const_data_ptr<double>();
  const auto add = [&](int64_t a, int64_t b) {
    const double gap = std::abs(reward[a] - reward[b]);
    if (gap > 0 && gap >= config.min_gap) pairs.push_back(reward[a] > reward[b] ? LessonRow{a, b} : LessonRow{b, a});
  };
  for (int64_t first = 0; first < rollouts.count(); first += config.pictures) {
    const int64_t end = first + config.pictures;
    if (config.pairing == "best_worst") {
      const auto [worst, best] = std::minmax_element(reward + first, reward + end);
      add(best - reward, worst - reward);
      continue;
    }
    for (int64_t a = first; a < end; ++a) {
      for (int64_t b = a + 1; b < end; ++b) add(a, b);
    }
  }
  return pairs;
}

std::unique_ptr<Lesson> make_step_lesson(const RunConfig& config, const GaussianStep& step, StepObjective& objective) {
  return std::make_unique<StepLesson>(config, step, objective);
}

}  // namespace palate
