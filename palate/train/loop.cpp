#include "palate/train/loop.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "palate/core/clock.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/atomic_file.h"
#include "palate/io/safetensors.h"
#include "palate/train/best_state.h"
#include "palate/train/metric_log.h"
#include "palate/train/run_folder.h"
#include "palate/train/update.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr int64_t clock_ticks = 1000;         // what a run by the clock shows in its progress bar
constexpr double seconds_between_lines = 60;  // of the log

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// What a killed writer leaves: files and folders under a temporary name (io/atomic_file.h). The run folder is ours alone.
void remove_leftovers(const fs::path& run) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(run)) {
    if (entry.path().filename().string().find(".tmp-") != std::string::npos) leftovers.push_back(entry.path());
  }
  std::error_code ignored;
  for (const auto& path : leftovers) fs::remove_all(path, ignored);
}

// What a line of metrics.jsonl is reckoned from, besides the sums that a checkpoint keeps.
struct Window {
  Clock::time_point began = Clock::now();
  int64_t first_step = 0;
  Clock::time_point announced = Clock::now();  // the last line that the log showed
};

struct Marks {
  int64_t saved_step = -1;
  double saved_seconds = 0, evaluated_seconds = 0;  // TrainState::seconds then
};

class Loop {
 public:
  Loop(Task& task, const LoopConfig& config, const fs::path& folder, const Ranks& ranks)
      : task_(task), config_(config), folder_(folder), ranks_(ranks), update_(task, config.optimizer, config.ema) {}

  TrainResult run() {
    resume();
    try {
      if (config_.resumed) config_.resumed();
      try {
        steps();
      } catch (const DataError& error) {  // between two updates: all that was learned is kept
        save();
        fail<DataError>(error.what(), "; ", last_checkpoint(), ", and nothing before it is lost: ", config_.how_to_go_on);
      }
      if (finished())
        write_result();
      else
        save();
    } catch (const IoError& error) {
      explain_lost_write(error.what());
    } catch (const fs::filesystem_error& error) {
      explain_lost_write(error.what());
    }
    if (!finished()) log_info("stopped at step ", state_.step, " of ", config_.steps, "; ", config_.how_to_go_on);
    return {.folder = folder_,
            .steps = state_.step,
            .best_step = state_.best_step,
            .seconds = state_.seconds,
            .metrics = last_,
            .evaluation = evaluation_,
            .interrupted = !finished()};
  }

 private:
  double progress() const {
    if (config_.minutes > 0) return state_.seconds / (60 * config_.minutes);
    return static_cast<double>(state_.step) / static_cast<double>(std::max<int64_t>(1, config_.steps));
  }
  bool finished() const { return config_.minutes > 0 ? progress() >= 1 : state_.step >= config_.steps; }
  int64_t ticks() const {
    return config_.minutes > 0 ? std::min(clock_ticks, static_cast<int64_t>(progress() * clock_ticks)) : state_.step;
  }

  void resume() {
    if (!config_.resume.empty()) remove_leftovers(folder_);
    if (config_.resume == "latest") {
      if (const auto checkpoint = latest_checkpoint(folder_))
        restore(*checkpoint);
      else if (fs::exists(folder_ / "metrics.jsonl"))
        log_info("no checkpoint was written yet: starting at step 0");
    } else if (!config_.resume.empty()) {
      restore(load_checkpoint(config_.resume));
    }
    if (!config_.resume.empty()) supersede_after(folder_, state_.step);
    state_.threads = at::get_num_threads();
    marks_.saved_seconds = marks_.evaluated_seconds = state_.seconds;
    metrics_ = std::make_unique<MetricLog>(folder_, state_.step);
  }

  void restore(const Checkpoint& checkpoint) {
    const Parameters& parameters = task_.parameters();
    if (task_.written_whole())
      task_.read(checkpoint.folder);
    else
      copy_values(checkpoint.tensors, parameters, checkpoint.folder.string());
    state_ = checkpoint.state;
    state_.sums.erase("seconds");  // a clock that earlier pretrainings kept there
    update_.load(checkpoint.tensors, state_.step);
    task_.load(checkpoint.tensors);
    task_.parameters().publish();
    marks_.saved_step = checkpoint.folder.parent_path() == folder_ ? state_.step : -1;
    log_info("going on after step ", state_.step, " (", checkpoint.folder.string(), ")");
    if (state_.threads == at::get_num_threads()) return;
    warn("the run began with ", state_.threads, " threads and goes on with ", at::get_num_threads(),
         ": results will agree but for rounding; threads=", state_.threads, " gives the same bits");
  }

  void steps() {
    if (state_.step == 0 && !interrupted()) sample();
    window_ = {Clock::now(), state_.step, Clock::now()};
    Progress bar(config_.title, config_.minutes > 0 ? clock_ticks : config_.steps, ticks());
    while (!finished() && !interrupted()) {
      const int64_t shown = ticks();
      const double loss = step();
      bar.advance(ticks() - shown, "loss " + short_number(loss));
      after_step();
    }
  }

  double step() {
    const auto began = Clock::now();
    const double at = progress();
    const auto rate = [&](const Parameters::Group& group) { return config_.rate(group, state_.step, at); };
    const StepReport report = update_.step(state_.step, config_.accumulation, at, ranks_, rate);
    if (!report.finite()) refuse(report);
    lr_ = rate(task_.parameters().groups()[0]);
    const double share = 1.0 / static_cast<double>(config_.accumulation);
    for (const auto& pass : report.passes) {
      for (const auto& [name, value] : pass.metrics) state_.sums[name] += value * share;
    }
    state_.sums["grad_norm"] += report.grad_norm;
    ++state_.summed;
    ++state_.step;
    state_.seconds += seconds_since(began);
    return report.loss;
  }

  [[noreturn]] void refuse(const StepReport& report) const {
    std::string bad, all;
    for (const auto& pass : report.passes) {
      const Tensor wrong = pass.losses.defined() ? torch::isfinite(pass.losses).logical_not().to(torch::kCPU) : Tensor();
      for (size_t i = 0; i < pass.visits.size(); ++i) {
        const std::string name = task_.describe(pass.visits[i]);
        all += (all.empty() ? "" : ", ") + name;
        if (wrong.defined() && wrong[static_cast<int64_t>(i)].item<bool>()) bad += (bad.empty() ? "" : ", ") + name;
      }
    }
    const std::string& named = bad.empty() ? all : bad;
    fail<Error>("step ", state_.step + 1, ": the ", std::isfinite(report.loss) ? "gradient" : "loss", " is not a finite number (loss ",
                report.loss, ", gradient norm ", report.grad_norm, ")", named.empty() ? "" : " for ", named,
                "; nothing was updated with it and ", last_checkpoint(), ". A lower optimizer.lr, a clip_norm or float32 may help",
                named.empty() ? "" : ", or remove the example");
  }

  void after_step() {
    const int64_t at = state_.step;
    const auto due = [&](int64_t every) { return every > 0 && (at % every == 0 || finished()); };
    Metrics line;
    if (due(config_.log_every)) add_means(line);
    if (due(config_.validate_every)) validate(line);
    write_line(line);
    if (config_.sample_every > 0 && at % config_.sample_every == 0 && !finished()) sample();
    const bool by_clock = config_.checkpoint_minutes > 0 && state_.seconds - marks_.saved_seconds >= 60 * config_.checkpoint_minutes;
    if (due(config_.checkpoint_every) || (by_clock && !finished())) save();
  }

  void write_line(const Metrics& line) {
    if (line.empty()) return;
    metrics_->write(state_.step, line);
    for (const auto& [name, value] : line) last_[name] = value;
  }

  void add_means(Metrics& line) {
    for (const auto& [name, sum] : state_.sums) line[name] = sum / static_cast<double>(state_.summed);
    state_.sums.clear();
    state_.summed = 0;
    const auto examples = static_cast<double>((state_.step - window_.first_step) * config_.examples);
    line["lr"] = lr_;
    line[config_.speed] = examples / std::max(1e-9, seconds_since(window_.began));
    line["memory_gb"] = static_cast<double>(peak_resident_bytes()) / 1e9;
    task_.annotate(line, state_);
    window_ = {Clock::now(), state_.step, window_.announced};
    std::string accuracy;
    if (const auto found = line.find("implicit_acc"); found != line.end()) accuracy = ", implicit accuracy " + short_number(found->second);
    const std::string text = concat("step ", state_.step, ": loss ", short_number(line["loss"]), accuracy, ", ",
                                    short_number(line[config_.speed]), " ", config_.speed.substr(0, config_.speed.find('_')), "/s");
    if (seconds_since(window_.announced) < seconds_between_lines) return log_detail(text);
    window_.announced = Clock::now();
    log_line(text);
  }

  void validate(Metrics& line) {
    task_.set_training(false);
    Metrics measured;
    update_.with_mean([&] { measured = task_.validate(); });
    if (measured.empty()) return;
    const double value = task_.value(measured);
    const bool better = state_.best_step < 0 || value > state_.best_value;
    if (better) {
      state_.best_value = value;
      state_.best_step = state_.step;
      if (config_.keep_best) save_best(folder_, state_.step, task_.parameters());
    }
    std::string text = concat("step ", state_.step, ": held-out loss ", short_number(measured.at("held_out/loss")));
    if (measured.count("held_out/accuracy")) text += ", preference accuracy " + short_number(measured.at("held_out/accuracy"));
    log_info(text, better ? " (best so far)" : "");
    line.insert(measured.begin(), measured.end());
  }

  void sample() {
    task_.set_training(false);
    Tensor picture;
    update_.with_mean([&] { picture = task_.sample(state_.step); });
    if (picture.defined()) metrics_->image("samples", picture, state_.step);
  }

  void save() {
    if (marks_.saved_step == state_.step) return;
    TensorMap tensors;
    const Parameters& parameters = task_.parameters();
    for (size_t i = 0; i < parameters.names().size() && !task_.written_whole(); ++i) {
      tensors["trained." + parameters.names()[i]] = parameters.values()[i].detach();
    }
    update_.save(tensors);
    task_.save(tensors);
    const fs::path folder = checkpoint_path(folder_, state_.step);
    const bool evaluates = config_.evaluate_minutes >= 0;
    const auto write = [&](const fs::path& work) {
      if (fs::exists(folder_ / "config.resolved.toml")) fs::copy_file(folder_ / "config.resolved.toml", work / "config.resolved.toml");
      if (evaluates)
        update_.with_mean([&] { task_.write(work, state_); });
      else
        task_.write(work, state_);
    };
    save_checkpoint(folder, state_, tensors, write);
    marks_.saved_step = state_.step;
    marks_.saved_seconds = state_.seconds;
    prune_checkpoints(folder_, config_.keep_checkpoints);
    prune_best(folder_, state_.best_step);
    log_detail(concat("checkpoint ", folder.string()));
    if (evaluates && (finished() || state_.seconds - marks_.evaluated_seconds >= 60 * config_.evaluate_minutes)) evaluate();
  }

  void evaluate() {
    update_.with_mean([&] { evaluation_ = task_.evaluate(checkpoint_path(folder_, state_.step)); });
    marks_.evaluated_seconds = state_.seconds;
    write_line(evaluation_);
    std::string text = concat(config_.title, " step ", state_.step, " (", show_duration(state_.seconds), ")");
    for (const auto& [name, value] : evaluation_) text += concat("  ", name, " ", value);
    log_info(text);
  }

  void write_result() {
    task_.set_training(false);
    if (config_.evaluate_minutes >= 0) {
      const bool there = marks_.saved_step == state_.step;
      save();
      if (there) evaluate();  // a run that was complete already is measured again, so that its numbers are there for whoever asks
    }
    update_.keep_mean();
    if (config_.keep_best && state_.best_step >= 0) take_best(folder_, state_.best_step, task_.parameters());
    task_.parameters().publish();
    task_.write(folder_, state_);
    sample();
    task_.finish(folder_, state_, last_);
  }

  std::string last_checkpoint() const {
    const auto saved = checkpoint_steps(folder_);
    return saved.empty() ? "no checkpoint was written before it"
                         : "the last complete checkpoint is " + checkpoint_path(folder_, saved.back()).string();
  }

  [[noreturn]] void explain_lost_write(const std::string& reason) const {
    fail<IoError>("step ", state_.step, ": ", reason, "; ", last_checkpoint(), ". ", remedy_of_write(reason), ", then ",
                  config_.how_to_go_on);
  }

  Task& task_;
  const LoopConfig& config_;
  const fs::path& folder_;
  const Ranks& ranks_;
  Update update_;
  std::unique_ptr<MetricLog> metrics_;
  TrainState state_;
  Window window_;
  Marks marks_;
  double lr_ = 0;  // of the last step
  Metrics last_, evaluation_;
};

}  // namespace

std::string Task::describe(const Visit& visit) const {
  char name[20];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(visit.id));
  return name;
}

double Task::value(const Metrics& measured) const {
  const auto accuracy = measured.find("held_out/accuracy");
  return accuracy != measured.end() ? accuracy->second : -measured.at("held_out/loss");
}

TrainResult run_loop(Task& task, const LoopConfig& config, const fs::path& folder, const Ranks& ranks) {
  return Loop(task, config, folder, ranks).run();
}

}  // namespace palate
