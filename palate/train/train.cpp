#include "palate/train/train.h"

#include <torch/types.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/train/lr_schedule.h"
#include "palate/train/run.h"

namespace palate {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string pair_name(uint64_t id) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id));
  return text;
}

std::string remedy(const std::string& reason) {
  const auto says = [&](int number) { return reason.find(std::strerror(number)) != std::string::npos; };
  if (says(ENOSPC) || says(EDQUOT) || says(EFBIG)) return "Make room";
  return says(EACCES) || says(EPERM) || says(EROFS) ? "Make the folder writable" : "Put that right";
}

}  // namespace

TrainResult train(const RunConfig& config) {
  const InterruptGuard guard;  // the caches are built while the run is set up
  std::optional<Run> run;
  try {
    run.emplace(config);
  } catch (const IoError& error) {
    fail<IoError>(error.what(), "; no step was made. ", remedy(error.what()), ", then the same command goes on from there");
  }
  return run->go();
}

TrainResult Run::go() {
  began_ = logged_ = announced_ = Clock::now();
  try {
    loop();
    if (state_.step < config_.train.steps)
      save();
    else
      write_results();
  } catch (const IoError& error) {
    explain_lost_write(error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    explain_lost_write(error.what());
  }
  const bool stopped = state_.step < config_.train.steps;
  if (stopped) log("stopped at step ", state_.step, " of ", config_.train.steps, "; ", how_to_go_on());
  return {.folder = folder_->path(),
          .steps = state_.step,
          .best_step = state_.best_step,
          .seconds = state_.seconds,
          .metrics = last_,
          .interrupted = stopped};
}

void Run::loop() {
  if (state_.step == 0 && !config_.sample.prompts.empty() && !interrupted()) sample(0);
  began_ = logged_ = Clock::now();
  Progress progress("training", config_.train.steps, state_.step);
  while (state_.step < config_.train.steps && !interrupted()) {
    step();
    progress.advance(1, "loss " + short_number(loss_));
    after_step();
  }
  state_.seconds = seconds_before_ + since(began_);
}

std::string Run::how_to_go_on() const {
  return "go on with: palate train " + (folder_->path() / "config.resolved.toml").string() + " resume=latest";
}

std::string Run::last_checkpoint() const {
  const auto steps = checkpoint_steps(folder_->path());
  return steps.empty() ? "no checkpoint was written before it"
                       : "the last complete checkpoint is " + checkpoint_path(folder_->path(), steps.back()).string();
}

void Run::explain_lost_write(const std::string& reason) const {
  fail<IoError>("step ", state_.step, ": ", reason, "; ", last_checkpoint(), ". ", remedy(reason), ", then ", how_to_go_on());
}

void Run::step() {
  const TrainConfig& train = config_.train;
  trainable_->set_training(true);
  lr_ = learning_rate(config_.optimizer, state_.step, train.steps);
  loss_ = 0;
  std::vector<SeenBatch> seen;
  for (int64_t part = 0; part < train.accumulation; ++part) {
    seen.push_back(forward_backward((state_.step * train.accumulation + part) * train.batch));
  }
  const auto gradients = trainable_->gradients(), text_gradients = text_ ? text_->gradients() : std::vector<Tensor>();
  std::vector<Tensor> all = gradients;
  all.insert(all.end(), text_gradients.begin(), text_gradients.end());
  const double norm = clip_gradients(all, config_.optimizer.clip_norm).item<double>();
  refuse_non_finite(norm, loss_, seen);
  optimizer_->step(gradients, lr_);
  if (text_) step_text(text_gradients);
  trainable_->publish();
  trainable_->clear_gradients();
  if (ema_) ema_->update(values_);
  state_.sums["grad_norm"] += norm;
  ++state_.summed;
  ++state_.step;
}

// The U-Net's rate, or text.lr on the same schedule.
double Run::text_rate() const {
  OptimizerConfig own = config_.optimizer;
  if (config_.text.lr == 0) return lr_;
  if (own.lr > 0) return lr_ * (config_.text.lr / own.lr);
  own.lr = config_.text.lr;
  return learning_rate(own, state_.step, config_.train.steps);
}

void Run::step_text(const std::vector<Tensor>& gradients) {
  text_optimizer_->step(gradients, text_rate());
  text_->keep_norms();
  text_->clear_gradients();
}

SeenBatch Run::forward_backward(int64_t first) {
  const auto seed = static_cast<uint64_t>(config_.seed);
  const auto part = order_->take(first, config_.train.batch);
  std::vector<uint64_t> draws;
  for (const uint64_t draw : part.draws) draws.push_back(effective_draw(config_.objective, draw));
  PairBatch batch = cache_->batch(part.rows, draws, batch_options_);
  Draw draw = objective_->draw(batch, draws, seed);
  prepare_(batch, &draw);
  std::vector<uint64_t> masks;  // one epoch's dropout is not the next one's
  for (size_t i = 0; i < batch.ids.size(); ++i) masks.push_back(mix(batch.ids[i], part.draws[i]));
  trainable_->set_dropout_draw(seed, masks);
  const ObjectiveOutput output = objective_->evaluate(pipeline_->denoiser(), batch, draw, draws);
  const double share = 1.0 / static_cast<double>(config_.train.accumulation);
  (config_.train.accumulation == 1 ? output.loss : output.loss * share).backward();
  trainable_->collect();
  loss_ += output.loss.item<double>() * share;
  for (const auto& [name, value] : output.metrics) state_.sums[name] += value * share;
  return {part.rows, batch.ids, output.losses.detach()};
}

void Run::refuse_non_finite(double norm, double loss, const std::vector<SeenBatch>& seen) const {
  if (std::isfinite(norm) && std::isfinite(loss)) return;
  std::string pairs, all;
  for (const auto& batch : seen) {
    const Tensor bad = torch::isfinite(batch.losses).logical_not().to(torch::kCPU);
    for (size_t i = 0; i < batch.ids.size(); ++i) {
      const std::string name = concat(pair_name(batch.ids[i]), " (row ", batch.rows[i], ", \"", cache_->prompt(batch.rows[i]), "\")");
      all += (all.empty() ? "" : ", ") + name;
      if (bad[static_cast<int64_t>(i)].item<bool>()) pairs += (pairs.empty() ? "" : ", ") + name;
    }
  }
  fail<Error>("step ", state_.step + 1, ": the ", std::isfinite(loss) ? "gradient" : "loss", " is not a finite number (loss ", loss,
              ", gradient norm ", norm, ") for pair ", pairs.empty() ? all : pairs, "; nothing was updated with it and ", last_checkpoint(),
              ". A lower optimizer.lr, a clip_norm or float32 may help, or remove the pair");
}

void Run::after_step() {
  const TrainConfig& train = config_.train;
  const int64_t at = state_.step;
  const bool last = at == train.steps;
  const auto due = [&](int64_t every) { return every > 0 && (at % every == 0 || last); };
  std::map<std::string, double> line;
  if (due(train.log_every)) add_means(line);
  if (validation_ && due(train.validate_every)) validate(line);
  if (!line.empty()) {
    metrics_->write(at, line);
    for (const auto& [name, value] : line) last_[name] = value;
  }
  state_.seconds = seconds_before_ + since(began_);
  if (config_.sample.every > 0 && at % config_.sample.every == 0 && !last) sample(at);
  if (due(train.checkpoint_every)) save();
}

void Run::add_means(std::map<std::string, double>& line) {
  for (const auto& [name, sum] : state_.sums) line[name] = sum / static_cast<double>(state_.summed);
  state_.sums.clear();
  state_.summed = 0;
  const int64_t pairs = config_.train.batch * config_.train.accumulation;
  line["lr"] = lr_;
  line["epoch"] = order_->epochs(state_.step * pairs);
  line["pairs_per_second"] = static_cast<double>((state_.step - logged_step_) * pairs) / std::max(1e-9, since(logged_));
  line["memory_gb"] = static_cast<double>(peak_resident_bytes()) / 1e9;
  logged_ = Clock::now();
  logged_step_ = state_.step;
  std::string accuracy;
  if (const auto found = line.find("implicit_acc"); found != line.end()) accuracy = ", preferred winner " + short_number(found->second);
  const std::string text = concat("step ", state_.step, ": loss ", short_number(line["loss"]), accuracy, ", ",
                                  short_number(line["pairs_per_second"]), " pairs/s");
  if (since(announced_) < 60) return log_detail(text);
  announced_ = Clock::now();
  log_line(text);
}

void Run::validate(std::map<std::string, double>& line) {
  trainable_->set_training(false);
  std::map<std::string, double> measured;
  with_result_weights([&] { measured = validation_->measure(*objective_, pipeline_->denoiser()); });
  const double value = Validation::value(measured);
  const bool better = state_.best_step < 0 || value > state_.best_value;
  if (better) {
    state_.best_value = value;
    state_.best_step = state_.step;
    if (config_.train.keep_best) save_best();
  }
  std::string text = concat("step ", state_.step, ": held-out loss ", short_number(measured.at("held_out/loss")));
  if (measured.count("held_out/accuracy")) text += ", preference accuracy " + short_number(measured.at("held_out/accuracy"));
  log(text, better ? " (best so far)" : "");
  line.insert(measured.begin(), measured.end());
}

void Run::with_result_weights(const std::function<void()>& use) {
  if (ema_) {
    ema_->swap(values_);
    trainable_->publish();
  }
  use();
  if (ema_) {
    ema_->swap(values_);
    trainable_->publish();
  }
}

}  // namespace palate
