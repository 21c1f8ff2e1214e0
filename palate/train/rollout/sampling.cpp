#include "palate/train/rollout/sampling.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/progress.h"
#include "palate/diffusion/rollout.h"
#include "palate/io/image.h"

namespace palate {
namespace {

Condition picked(const Condition& condition, const std::vector<int64_t>& rows) {
  Condition some;
  const Tensor index = torch::tensor(rows, torch::kInt64);
  for (const auto& [name, value] : condition.fields()) some.set(name, value.index_select(0, index.to(value.device())));
  return some;
}

// Keys of a picture's draws: each picture of each epoch has its own.
uint64_t key_of(int64_t epoch, int64_t number) {
  return mix(mix(stable_hash("rollout"), static_cast<uint64_t>(epoch)), static_cast<uint64_t>(number));
}

}  // namespace

PromptStates::PromptStates(Pipeline& pipeline, std::vector<std::string> prompts, bool guided)
    : pipeline_(pipeline), prompts_(std::move(prompts)), guided_(guided) {}

void PromptStates::prepare(const std::vector<int64_t>& numbers) {
  std::vector<int64_t> wanted = numbers;
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted == ready_) return;
  std::vector<std::string> texts;
  for (const int64_t number : wanted) texts.push_back(prompts_.at(static_cast<size_t>(number)));
  states_ = pipeline_.encode_prompts(texts);
  if (guided_ && nothing_.empty()) nothing_ = pipeline_.encode_nothing(1);
  if (pipeline_.takes_time_ids()) {
    const int64_t side = pipeline_.sample_size() * pipeline_.factor();
    const Condition sizes{{"time_ids", pipeline_.time_ids(MicroConditioning{side, side, 0, 0, side, side})}};
    states_.set("time_ids", sizes["time_ids"].expand({static_cast<int64_t>(texts.size()), 6}));
    if (guided_) nothing_ = nothing_.with_missing_of(sizes);
  }
  ready_ = std::move(wanted);
}

PromptStates::States PromptStates::of(const std::vector<int64_t>& numbers) {
  std::vector<int64_t> rows;
  for (const int64_t number : numbers) {
    rows.push_back(std::lower_bound(ready_.begin(), ready_.end(), number) - ready_.begin());
  }
  const auto device = pipeline_.denoiser().module().parameters().front().device();
  const Condition negative = guided_ ? picked(nothing_, std::vector<int64_t>(numbers.size())) : Condition();
  return {picked(states_, rows).to(device), negative.to(device)};
}

struct RolloutSampler::Chunk {
  std::vector<uint64_t> keys;
  std::vector<int64_t> prompts;
  PromptStates::States states;
  PromptStates* all = nullptr;
  int64_t epoch = 0;
  Tensor x, predicted;  // now
  std::vector<Tensor> path, log_prob, win, lose, differ;
};

RolloutSampler::RolloutSampler(Pipeline& pipeline, const RolloutConfig& config, const GaussianStep& step, Judge& judge, Keeps keeps,
                               uint64_t seed)
    : pipeline_(pipeline), config_(config), step_(step), judge_(judge), keeps_(keeps), seed_(seed), grid_(step.grid(config.steps)) {}

Tensor RolloutSampler::noise(const Chunk& chunk, uint64_t draw) const {
  std::vector<int64_t> shape = chunk.x.sizes().vec();
  shape[0] = 1;
  std::vector<Tensor> rows;
  for (const uint64_t key : chunk.keys) rows.push_back(Generator({seed_, key, draw, Purpose::sampler}).normal(shape));
  return torch::cat(rows).to(chunk.x.device());
}

Tensor RolloutSampler::times(const std::vector<int64_t>& grid, int64_t i, int64_t rows) const {
  return torch::full({rows}, grid[static_cast<size_t>(i)], torch::kInt64);
}

std::vector<double> RolloutSampler::scores(const Tensor& latents, const std::vector<int64_t>& prompts, const PromptStates& states,
                                           int64_t epoch) const {
  std::vector<std::string> texts;
  for (const int64_t number : prompts) texts.push_back(states.prompts()[static_cast<size_t>(number)]);
  const Tensor total = judge_.score(from_unit(pipeline_.decode(latents).cpu()), texts).total.to(torch::kFloat64).contiguous();
  std::vector<double> found(total.const_data_ptr<double>(), total.const_data_ptr<double>() + total.numel());
  for (size_t i = 0; i < found.size(); ++i) {
    check<DataError>(std::isfinite(found[i]), "epoch ", epoch + 1, ": the judge '", judge_.name(), "' gave ", found[i],
                     " for a picture of \"", texts[i], "\", and nothing was learned from it: leave the prompt out, or take another judge");
  }
  return found;
}

// SPO's step: of some next states of each x, the best and the worst by the pictures that they promise; x goes on with one at random.
void RolloutSampler::draw_candidates(Chunk& chunk, int64_t i, const Transition& transition) const {
  const int64_t count = config_.candidates, rows = chunk.x.size(0);
  const bool last = i + 1 == config_.steps;
  std::vector<Tensor> next, predicted, promised;
  std::vector<std::vector<double>> score;
  for (int64_t k = 0; k < count; ++k) {
    next.push_back(transition.mean + transition.std * noise(chunk, static_cast<uint64_t>(i * count + k)));
    if (last) {
      promised.push_back(next.back());
    } else {
      const Tensor t = times(grid_.t, i + 1, rows).to(chunk.x.device());
      predicted.push_back(step_.predict(pipeline_.denoiser(), next.back(), t, chunk.states.positive, chunk.states.negative));
      promised.push_back(step_.process().to_x0(predicted.back(), next.back(), t));
    }
    score.push_back(scores(promised.back(), chunk.prompts, *chunk.all, chunk.epoch));
  }
  std::vector<Tensor> win, lose, x, prediction;
  std::vector<uint8_t> differ;
  for (int64_t row = 0; row < rows; ++row) {
    const auto of = [&](size_t k) { return score[k][static_cast<size_t>(row)]; };
    size_t best = 0, worst = 0;
    for (size_t k = 1; k < score.size(); ++k) {
      if (of(k) > of(best)) best = k;
      if (of(k) < of(worst)) worst = k;
    }
    win.push_back(next[best][row]);
    lose.push_back(next[worst][row]);
    differ.push_back(std::tanh((of(best) - of(worst)) / 2) > config_.threshold);  // the softmax of the two, subtracted
    Generator choice({seed_, chunk.keys[static_cast<size_t>(row)], static_cast<uint64_t>(i), Purpose::shuffle});
    const auto taken = static_cast<size_t>(choice.below(count));
    x.push_back(next[taken][row]);
    if (!last) prediction.push_back(predicted[taken][row]);
  }
  chunk.win.push_back(torch::stack(win).cpu());
  chunk.lose.push_back(torch::stack(lose).cpu());
  chunk.differ.push_back(torch::tensor(differ, torch::kUInt8));
  chunk.x = torch::stack(x);
  if (!last) chunk.predicted = torch::stack(prediction);
}

void RolloutSampler::walk(Chunk& chunk) const {
  const int64_t rows = chunk.x.size(0);
  const auto device = chunk.x.device();
  const auto predict = [&](int64_t i) {
    return step_.predict(pipeline_.denoiser(), chunk.x, times(grid_.t, i, rows).to(device), chunk.states.positive, chunk.states.negative);
  };
  chunk.path.push_back(chunk.x.cpu());
  chunk.predicted = predict(0);
  for (int64_t i = 0; i < config_.steps; ++i) {
    const int64_t s = grid_.s[static_cast<size_t>(i)];
    const Transition transition =
        step_.transition(chunk.predicted, chunk.x, times(grid_.t, i, rows).to(device), times(grid_.s, i, rows).to(device));
    if (keeps_ == Keeps::candidates && i >= config_.divert_step && step_.draws(s)) {
      draw_candidates(chunk, i, transition);
    } else {
      const Tensor next = step_.draws(s) ? transition.mean + transition.std * noise(chunk, static_cast<uint64_t>(i)) : transition.mean;
      chunk.log_prob.push_back(step_.draws(s) ? log_prob(next, transition).cpu() : torch::zeros({rows}));
      if (keeps_ == Keeps::candidates) {
        chunk.win.push_back(next.cpu());
        chunk.lose.push_back(next.cpu());
        chunk.differ.push_back(torch::zeros({rows}, torch::kUInt8));
      }
      chunk.x = next;
      if (i + 1 < config_.steps) chunk.predicted = predict(i + 1);
    }
    if (keeps_ != Keeps::end) chunk.path.push_back(chunk.x.cpu());
  }
  if (keeps_ == Keeps::end) chunk.path = {chunk.x.cpu()};
}

Rollouts RolloutSampler::sample(int64_t epoch, const std::vector<int64_t>& prompts, PromptStates& states) const {
  const torch::NoGradGuard no_grad;
  Rollouts made;
  made.epoch = epoch;
  for (const int64_t prompt : prompts) made.prompts.insert(made.prompts.end(), static_cast<size_t>(config_.pictures), prompt);
  states.prepare(prompts);
  const int64_t side = pipeline_.denoiser().sample_size();
  const auto device = pipeline_.denoiser().module().parameters().front().device();
  std::vector<Tensor> path, density, win, lose, differ;
  std::vector<double> rewards;
  Progress progress(concat("sampling epoch ", epoch + 1), made.count());
  for (int64_t first = 0; first < made.count(); first += config_.batch) {
    const int64_t rows = std::min(config_.batch, made.count() - first);
    Chunk chunk;
    chunk.all = &states;
    chunk.epoch = epoch;
    std::vector<Tensor> start;
    for (int64_t i = first; i < first + rows; ++i) {
      chunk.keys.push_back(key_of(epoch, i));
      chunk.prompts.push_back(made.prompts[static_cast<size_t>(i)]);
      start.push_back(Generator({seed_, chunk.keys.back(), 0, Purpose::latents}).normal({1, pipeline_.latent_channels(), side, side}));
    }
    chunk.states = states.of(chunk.prompts);
    chunk.x = torch::cat(start).to(device);
    walk(chunk);
    const auto some = scores(chunk.x, chunk.prompts, states, epoch);
    rewards.insert(rewards.end(), some.begin(), some.end());
    path.push_back(torch::stack(chunk.path));
    if (keeps_ == Keeps::path) density.push_back(torch::stack(chunk.log_prob));
    if (keeps_ == Keeps::candidates) {
      win.push_back(torch::stack(chunk.win));
      lose.push_back(torch::stack(chunk.lose));
      differ.push_back(torch::stack(chunk.differ));
    }
    progress.advance(rows);
  }
  const auto joined = [](const std::vector<Tensor>& parts) { return parts.empty() ? Tensor() : torch::cat(parts, 1); };
  made.x = joined(path);
  made.log_prob = joined(density);
  made.win = joined(win);
  made.lose = joined(lose);
  made.differ = joined(differ);
  made.rewards = torch::tensor(rewards, torch::kFloat64);
  return made;
}

}  // namespace palate
