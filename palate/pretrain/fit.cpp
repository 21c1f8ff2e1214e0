#include "palate/pretrain/fit.h"

#include <ATen/Parallel.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <chrono>
#include <cmath>
#include <numbers>
#include <optional>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/train/checkpoint.h"
#include "palate/train/ema.h"
#include "palate/train/metrics.h"
#include "palate/train/optimizer.h"

namespace palate::world {
namespace {

constexpr int64_t kept_checkpoints = 2;
constexpr int64_t clock_ticks = 1000;  // what a fit by the clock shows in its progress bar

OptimizerConfig optimizer_config(const FitConfig& config) {
  OptimizerConfig out;
  out.beta1 = config.beta1;
  out.beta2 = config.beta2;
  out.weight_decay = config.weight_decay;
  return out;
}

double rate(const FitConfig& config, int64_t step, double progress) {
  const double warm = config.warmup_steps > 0 ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps)) : 1;
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(progress, 1.0)));
  return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine);
}

class Loop {
 public:
  explicit Loop(const FitTask& task)
      : task_(task),
        config_(task.config),
        optimizer_(make_optimizer(optimizer_config(config_), task.weights.names, task.weights.values)),
        ema_(config_.ema, task.weights.names, task.weights.values) {
    resume();
    log_.emplace(task.folder, state_.step);
    bar_.emplace(task.title, config_.minutes > 0 ? clock_ticks : config_.steps, ticks());
  }

  FitResult run() {
    const InterruptGuard guard;
    FitResult result;
    lap_ = std::chrono::steady_clock::now();
    if (progress() < 1) {
      while (progress() < 1 && interrupted() == 0) {
        update();
        if (progress() < 1 && state_.seconds - saved_at_ >= 60 * config_.checkpoint_minutes) checkpoint(false);
      }
      result.evaluation = checkpoint(progress() >= 1);
    } else {
      result.evaluation = measure(checkpoint_path(task_.folder, state_.step));
    }
    bar_->finish();
    result.interrupted = progress() < 1;
    result.steps = state_.step;
    result.minutes = state_.seconds / 60;
    result.checkpoint = checkpoint_path(task_.folder, state_.step);
    return result;
  }

 private:
  double progress() const {
    return config_.minutes > 0 ? state_.seconds / (60 * config_.minutes)
                               : static_cast<double>(state_.step) / static_cast<double>(config_.steps);
  }
  int64_t ticks() const {
    return config_.minutes > 0 ? std::min(clock_ticks, static_cast<int64_t>(progress() * clock_ticks)) : state_.step;
  }

  void resume() {
    const auto found = latest_checkpoint(task_.folder);
    if (!found) return;
    const torch::NoGradGuard no_grad;
    state_ = found->state;
    for (size_t i = 0; i < task_.weights.names.size(); ++i) {
      const auto value = found->tensors.find("value." + task_.weights.names[i]);
      check<FormatError>(value != found->tensors.end() && value->second.sizes() == task_.weights.values[i].sizes(), found->folder.string(),
                         ": expected the weights '", task_.weights.names[i], "' of this config: it is another run's");
      Tensor into = task_.weights.values[i];
      into.copy_(value->second);
    }
    optimizer_->load(found->tensors, state_.step);
    ema_.load(found->tensors, state_.step);
    saved_at_ = evaluated_at_ = logged_at_ = state_.seconds;
    log("going on from ", found->folder.string());
  }

  void update() {
    const double learning_rate = rate(config_, state_.step, progress());
    const Tensor loss = task_.loss(state_.step, progress());
    const double value = loss.item<double>();
    check(std::isfinite(value), task_.title, ": the loss of step ", state_.step, " is not a number; the last checkpoint in ",
          task_.folder.string(), " is good: try a lower learning rate");
    loss.backward();
    std::vector<Tensor> gradients;
    for (const auto& weight : task_.weights.values) gradients.push_back(weight.grad());
    const double norm = clip_gradients(gradients, config_.clip_norm).item<double>();
    optimizer_->step(gradients, learning_rate);
    for (const auto& weight : task_.weights.values) weight.mutable_grad().reset();
    ema_.update(task_.weights.values);
    ++state_.step;
    state_.seconds += lap();
    note(value, norm, learning_rate);
  }

  void note(double loss, double norm, double learning_rate) {
    state_.sums["loss"] += loss;
    state_.sums["grad_norm"] += norm;
    state_.sums["seconds"] = state_.seconds;
    bar_->advance(ticks() - shown_, concat("loss ", state_.sums["loss"] / static_cast<double>(++state_.summed)));
    shown_ = ticks();
    if (state_.step % config_.log_every != 0) return;
    const auto n = static_cast<double>(state_.summed);
    log_->write(state_.step, {{"loss", state_.sums["loss"] / n},
                              {"grad_norm", state_.sums["grad_norm"] / n},
                              {"lr", learning_rate},
                              {"minutes", state_.seconds / 60},
                              {"step_ms", 1000 * (state_.seconds - logged_at_) / n}});
    logged_at_ = state_.seconds;
    state_.sums.clear();
    state_.summed = 0;
  }

  // Not counted as training time.
  std::map<std::string, double> checkpoint(bool final) {
    std::map<std::string, Tensor> tensors;
    for (size_t i = 0; i < task_.weights.names.size(); ++i)
      tensors["value." + task_.weights.names[i]] = task_.weights.values[i].detach().clone();
    optimizer_->save(tensors);
    ema_.save(tensors);
    for (auto& [name, tensor] : tensors) {
      if (name.rfind("ema.", 0) == 0) tensor = tensor.clone();  // the means change places below
    }
    state_.threads = at::get_num_threads();
    ema_.swap(task_.weights.values);
    const auto folder = checkpoint_path(task_.folder, state_.step);
    save_checkpoint(folder, state_, tensors, task_.save);
    saved_at_ = state_.seconds;
    std::map<std::string, double> measured;
    if (final || state_.seconds - evaluated_at_ >= 60 * task_.evaluate_minutes) {
      measured = task_.evaluate(folder);
      evaluated_at_ = state_.seconds;
      log_->write(state_.step, measured);
      std::string line;
      for (const auto& [name, value] : measured) line += concat("  ", name, " ", value);
      log(task_.title, " step ", state_.step, " (", show_duration(state_.seconds), ")", line);
    }
    ema_.swap(task_.weights.values);
    prune_checkpoints(task_.folder, kept_checkpoints);
    lap();
    return measured;
  }

  // A fit that was complete already is measured again, so that its numbers are there for whoever asks.
  std::map<std::string, double> measure(const std::filesystem::path& folder) {
    ema_.swap(task_.weights.values);
    auto measured = task_.evaluate(folder);
    ema_.swap(task_.weights.values);
    return measured;
  }

  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - lap_).count();
    lap_ = now;
    return seconds;
  }

  const FitTask& task_;
  const FitConfig& config_;
  std::unique_ptr<Optimizer> optimizer_;
  Ema ema_;
  TrainState state_;
  std::optional<MetricLog> log_;
  std::optional<Progress> bar_;
  std::chrono::steady_clock::time_point lap_;
  double saved_at_ = 0, evaluated_at_ = 0, logged_at_ = 0;
  int64_t shown_ = 0;
};

}  // namespace

void Weights::add(const std::string& prefix, torch::nn::Module& module) {
  for (const auto& entry : module.named_parameters()) {
    names.push_back(prefix + entry.key());
    values.push_back(entry.value().set_requires_grad(true));
  }
}

FitResult fit(const FitTask& task) {
  std::filesystem::create_directories(task.folder);
  return Loop(task).run();
}

}  // namespace palate::world
