// The work itself: what each unit does, and in which order.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "palate/compare/child.h"
#include "palate/compare/result.h"
#include "palate/compare/runner.h"
#include "palate/config/config.h"
#include "palate/core/clock.h"
#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/atomic_file.h"
#include "palate/io/file_lock.h"
#include "palate/pretrain/pairs.h"
#include "palate/train/checkpoint.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

struct Busy {};         // another process has the unit
struct Interrupted {};  // a signal came; what was begun goes on with the next call

void refuse_wait() { throw Busy(); }
void wait_until_interrupted() {
  if (interrupted() != 0) throw Interrupted();
}

// What a finished run leaves that nothing needs any more.
void remove_intermediate(const fs::path& folder, bool trial) {
  std::vector<fs::path> unneeded;
  for (const auto& entry : fs::directory_iterator(folder / "run")) {
    const std::string name = entry.path().filename().string();
    const bool kept = trial ? name == "metrics.jsonl" || name == "config.resolved.toml" : !name.starts_with("checkpoint-");
    if (!kept) unneeded.push_back(entry.path());
  }
  if (trial) unneeded.push_back(folder / "pictures");
  std::error_code ignored;
  for (const auto& path : unneeded) fs::remove_all(path, ignored);
}

bool diverged(const std::string& complaint) { return complaint.find("is not a finite number") != std::string::npos; }

// "step 2: the loss is not a finite number (loss nan, gradient norm nan)", without the examples of that step.
std::string short_reason(const std::string& complaint) { return complaint.substr(0, complaint.find(" for ")); }

// Runs `palate train` on the config; throws what it says when it fails.
ChildResult train_child(RunConfig run, const fs::path& folder) {
  make_folder(folder);
  write_file(folder / "run.toml", config_to_toml([&](Fields& f) { run.visit(f); }));
  ChildResult child = run_self({"train", (folder / "run.toml").string(), "--json"}, folder / "train.log");
  if (child.status != 0 && interrupted() != 0) throw Interrupted();
  if (child.status == 0) return child;
  const std::string complaint = last_complaint(folder / "train.log");
  if (child.status > 128) fail<Error>("the training was killed by signal ", child.status - 128);
  fail<Error>(complaint.empty() ? concat("the training ended with status ", child.status) : complaint, " (",
              (folder / "train.log").string(), ")");
}

}  // namespace

void CompareRunner::examine_base(PromptSet set) {
  const fs::path folder = places_.base(prompt_set_name(set));
  make_folder(folder);
  const FileLock lock(folder / ".lock", wait_until_interrupted);
  examiner_.base(set, folder);
}

void CompareRunner::prepare(int64_t seed) {
  const fs::path folder = places_.data(config_, seed);
  make_folder(folder);
  const FileLock lock(folder / ".lock", wait_until_interrupted);
  const std::string settings = examiner_.base_settings() + data_settings(config_, seed);
  if (read_result(folder, settings)) return;
  Json result = Json::object();
  if (config_.data.sampled() && !fs::exists(folder / "pairs.parquet")) {
    log_info("sampling pairs for seed ", seed);
    world::PairOptions options;
    options.prompts = config_.data.prompts;
    options.pictures = config_.data.pictures;
    options.steps = config_.sampling.steps;
    options.guidance_scale = config_.sampling.guidance_scale;
    options.batch = config_.sampling.batch;
    options.seed = static_cast<uint64_t>(seed);
    result["pairs"] = world::make_pairs(examiner_.pipeline(), options, folder / "pairs.parquet");
  }
  // The encoders run once, before any run whose memory is measured.
  train_child(run_config(config_, plan_[0], Point::unset(), seed, 0, folder / "encode"), folder / "encode");
  remove_folder(folder / "encode");
  write_result(folder, settings, result);
}

// Seconds of a step are those of more steps less those of fewer, which leaves out what a run does once.
void CompareRunner::measure_cost(PlannedMethod& planned) {
  if (planned.steps > 0) return;
  constexpr int64_t few = 5, more = 25;
  const fs::path folder = places_.root / planned.method->name / "cost";
  make_folder(folder);
  const FileLock lock(folder / ".lock", wait_until_interrupted);
  auto result = read_result(folder);
  if (!result) {
    log_info("measuring what a step of ", planned.method->name, " costs");
    double seconds[2];
    for (const int64_t steps : {few, more}) {
      const fs::path place = folder / std::to_string(steps);
      remove_folder(place);
      RunConfig run = run_config(config_, planned, Point::unset(), config_.tuning_seed(), steps, place);
      run.train.validate_every = run.train.checkpoint_every = 0;
      run.train.keep_best = false;
      seconds[steps == more] = train_child(run, place).processor_seconds;
      remove_folder(place);
    }
    result = Json{{"seconds_per_step", std::max(1e-6, (seconds[1] - seconds[0]) / static_cast<double>(more - few))}};
    write_result(folder, "", *result);
  }
  planned.cost.seconds = result->at("seconds_per_step");
  planned.steps = equal_steps(config_.compute, planned.method->share, planned.cost);
}

Json CompareRunner::train_unit(const Unit& unit, const RunConfig& run) {
  const bool in_one_piece = !fs::exists(run.output);
  const ChildResult child = train_child(run, folder(unit));
  const Json said = parse_json(child.out, (folder(unit) / "train.log").string());
  // The time of processors is known of runs that were not stopped; the loop's own seconds go on from a checkpoint.
  return {{"seconds", said.at("seconds")},
          {"processor_seconds", in_one_piece ? Json(child.processor_seconds) : Json()},
          {"peak_bytes", child.peak_bytes},
          {"metrics", said.at("metrics")}};
}

// Scores of the states on the way, whose checkpoints the run has kept.
void CompareRunner::add_curve(const Unit& unit, const RunConfig& run, Json& result) {
  for (const int64_t step : checkpoint_steps(run.output)) {
    if (config_.test.curve == 0 || step >= run.train.steps) continue;
    const fs::path pictures = folder(unit) / "curve";
    const Json measured =
        examiner_.measure(PromptSet::test, concat(name(unit), ", step ", step), checkpoint_path(run.output, step), pictures);
    result["curve"].push_back({{"step", step}, {"scores", measured.at("scores")}});
    remove_folder(pictures);
  }
}

void CompareRunner::run_unit(const Unit& unit) {
  const auto began = Clock::now();
  const PlannedMethod& planned = plan_[unit.method];
  const RunConfig run = config_of(unit);
  const PromptSet set = unit.trial ? PromptSet::development : PromptSet::test;
  Json result = {{"method", planned.method->name},
                 {unit.trial ? "trial" : "seed", unit.number},
                 {"rate", run.optimizer.lr},
                 {"beta", planned.beta_key.empty() ? Json() : Json(number_at(run, planned.beta_key))},
                 {"steps", planned.steps},
                 {"pairs", planned.cost.pairs * static_cast<double>(planned.steps)},
                 {"passes", planned.cost.passes * static_cast<double>(planned.steps)}};
  try {
    result["training"] = train_unit(unit, run);
    const Json measured =
        examiner_.measure(set, name(unit), run.output, folder(unit) / "pictures", unit.trial ? fs::path() : places_.base("test"));
    result.update(measured);
    result["evaluation_seconds"] = measured.at("seconds");
    result.erase("seconds");
    if (!unit.trial) add_curve(unit, run, result);
  } catch (const Error& error) {
    if (!diverged(error.what())) throw;
    result["failed"] = short_reason(error.what());
    log_info(name(unit), " diverged: ", short_reason(error.what()));
  }
  result["wall_seconds"] = seconds_since(began);
  write_result(folder(unit), settings_of(unit), result);
  remove_intermediate(folder(unit), unit.trial);
}

bool CompareRunner::attempt(const Unit& unit) {
  if (!ready(unit)) return false;
  make_folder(folder(unit));
  try {
    const FileLock lock(folder(unit) / ".lock", refuse_wait);
    if (done(unit)) return true;
    log_info(name(unit), ": ", show_point(unit));
    run_unit(unit);
  } catch (const Busy&) {
    return false;
  }
  return true;
}

// Sleeps a little when nothing could be done, because other processes are at it.
void CompareRunner::work_off(std::vector<Unit>& left, bool& whole) {
  for (size_t i = 0; i < left.size();) {
    wait_until_interrupted();
    const Unit unit = left[i];
    bool failed = false;
    try {
      if (!attempt(unit)) {
        ++i;
        continue;
      }
    } catch (const UsageError&) {
      throw;
    } catch (const IoError&) {
      throw;
    } catch (const Error& error) {
      warn(name(unit), " failed, and ", unit.trial ? "its method is" : "it is", " left out until the next call: ", error.what());
      failed = true;
    }
    whole = whole && !failed;
    // Without one of its trials a method has no best one.
    std::erase_if(left, [&](const Unit& u) { return u == unit || (failed && unit.trial && u.method == unit.method); });
    if (!left.empty()) log_info("runs left: ", left.size(), ", about ", show_duration(forecast(left)));
    return;
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));
}

bool CompareRunner::run(const std::vector<Unit>& all) {
  std::error_code none;  // there
  check<UsageError>(fs::is_empty(places_.root, none) || none || fs::exists(places_.root / "base"), "output: ", places_.root.string(),
                    " holds something else than a comparison: name another folder");
  bool whole = true;
  try {
    if (!prompts_.development.empty()) examine_base(PromptSet::development);
    examine_base(PromptSet::test);
    std::vector<Unit> left = all;
    std::erase_if(left, [&](const Unit& unit) { return plan_[unit.method].steps > 0 && done(unit); });
    std::set<int64_t> seeds;
    for (const Unit& unit : left) seeds.insert(seed_of(unit));
    if (!left.empty() && config_.compute.equal == "seconds") seeds.insert(config_.tuning_seed());
    for (const int64_t seed : seeds) prepare(seed);
    for (const Unit& unit : left) measure_cost(plan_[unit.method]);
    std::erase_if(left, [&](const Unit& unit) { return done(unit); });
    const auto total = static_cast<int64_t>(all.size()), had = static_cast<int64_t>(left.size());
    Progress bar("comparison", total, total - had);
    for (auto before = had; !left.empty(); before = static_cast<int64_t>(left.size())) {
      work_off(left, whole);
      bar.advance(before - static_cast<int64_t>(left.size()));
    }
  } catch (const Interrupted&) {
    log_info("stopped; the same command goes on from here");
    return false;
  }
  return whole;
}

}  // namespace palate
