#include "palate/train/train.h"

#include <torch/types.h>

#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/data/cache/cache_build.h"
#include "palate/data/readers/prior.h"
#include "palate/hub/model_path.h"
#include "palate/io/atomic_file.h"
#include "palate/train/align_task.h"
#include "palate/train/lr_schedule.h"
#include "palate/train/prior_pictures.h"
#include "palate/train/reward/reward_task.h"
#include "palate/train/rollout/rollout_task.h"
#include "palate/train/run_folder.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

VisitFields visits_of(RunConfig& config) {
  return [&config](Fields& f) { config.visit(f); };
}

// A config that was put together in code is checked as one from a file.
RunConfig checked(RunConfig config) {
  RunConfig whole;
  load_config({.file_name = "config", .file_text = config_to_toml(visits_of(config)), .overrides = {}}, visits_of(whole));
  return whole;
}

// What can be said to be wrong before a run folder is made and hours of encoding begin.
std::unique_ptr<Pipeline> open_model(const RunConfig& config) {
  // A model that is trained whole starts from float32, whatever it computes in.
  const LoadOptions load{.dtype = config.full ? torch::kFloat : parse_dtype(config.train.dtype),
                         .device = parse_device(config.device),
                         .variant = config.variant};
  auto pipeline = std::make_unique<Pipeline>(config.model, load);
  if (const std::string commit = model_commit(config.model); !commit.empty()) log_info(config.model, " is commit ", commit);
  check_batch_size(config.data, config.train.batch);
  check<UsageError>(pipeline->extra_channels() == 0, "model: ", pipeline->folder().string(), ": its U-Net takes ",
                    pipeline->latent_channels() + pipeline->extra_channels(), " channels and predicts ", pipeline->latent_channels(),
                    ": models made for inpainting or editing are not trained here; train the base model");
  make_timestep_policy(config.objective)->check_steps(pipeline->noise_process());
  PromptEncoder& prompts = pipeline->prompt_encoder();
  for (const size_t which : prompts.present()) prompts.tokenizer(which);  // a file that is not there is said first
  read_word_as_initializer(prompts, config.text);
  const std::string& reference = config.objective.reference;
  if (!needs_of(config.objective).reference && reference != "none" && reference != ObjectiveConfig().reference) {
    warn("objective.reference = \"", reference, "\" is not used: the loss '", config.objective.loss, "' compares with none");
  }
  return pipeline;
}

// Opens what the run learns from, and says what is wrong with it as far as that can be told without its pictures.
std::unique_ptr<PairSource> open_data(const RunConfig& config) {
  check<UsageError>(config.prior.folder.empty() || fs::is_directory(config.prior.folder), "prior.folder: there is no folder '",
                    config.prior.folder, "' (leave it empty, and the base model draws the pictures)");
  auto source = open_pairs(config.data);
  check_first_row(config.data, *source);
  const Needs needs = needs_of(config.objective);
  if (!config.data.images.empty() && (needs.labels || needs.rewards))
    check_notes(config.data, *source, {.loss = config.objective.loss, .labels = needs.labels, .rewards = needs.rewards});
  return source;
}

// A difference between two configs that cannot change what the run would have given without a break.
bool changes_no_result(const std::string& difference, const RunConfig& now) {
  const std::string& schedule = now.optimizer.lr_schedule;
  if (difference.starts_with("train.steps:")) return schedule == "constant" || schedule == "constant_with_warmup";
  for (const char* key :
       {"output:", "resume:", "threads:", "train.log_every:", "train.checkpoint_every:", "train.keep_checkpoints:", "sample."}) {
    if (difference.starts_with(key)) return true;
  }
  return false;
}

void compare_settings(const fs::path& folder, const RunConfig& now) {
  std::vector<std::string> lines;
  try {
    lines = changed_settings(folder, now);
  } catch (const Error& error) {
    return warn("the run cannot be compared with these settings: ", error.what());
  }
  for (const auto& line : lines) {
    warn("the run goes on with another setting than it began with: ", line,
         line.starts_with("train.steps:") ? concat(" (optimizer.lr_schedule = \"", now.optimizer.lr_schedule,
                                                   "\" spreads over all steps, so the learning rate jumps here)")
                                          : "");
  }
}

RunStart start_of(const RunConfig& config) {
  const fs::path output = config.output;
  const bool latest = config.resume == "latest";
  check<UsageError>(config.resume.empty() || latest || fs::is_directory(config.resume), "resume: expected latest or a checkpoint folder, '",
                    config.resume, "' is neither");
  const bool own = !config.resume.empty() && !latest && fs::weakly_canonical(config.resume).parent_path() == fs::weakly_canonical(output);
  return (latest ? fs::exists(output) : own) ? RunStart::resume : RunStart::fresh;
}

void write_settings(RunConfig config) {
  const fs::path file = fs::path(config.output) / "config.resolved.toml";
  config.resume.clear();
  write_file(file, "# palate train " + file.string() + "\n" + config_to_toml(visits_of(config)));
}

std::unique_ptr<RunFolder> open_run_folder(const RunConfig& config) {
  const fs::path output = config.output;
  const RunStart start = start_of(config);
  auto folder = std::make_unique<RunFolder>(output, start);
  if (start == RunStart::resume) {
    compare_settings(output, config);  // which stays until the checkpoint fits
    return folder;
  }
  if (config.resume == "latest") log_info(output.string(), " does not exist yet: starting at step 0");
  write_settings(config);
  return folder;
}

LoopConfig loop_config(const RunConfig& config) {
  LoopConfig loop;
  loop.resume = config.resume;
  loop.how_to_go_on = "go on with: palate train " + (fs::path(config.output) / "config.resolved.toml").string() + " resume=latest";
  if (!config.resume.empty()) loop.resumed = [config] { write_settings(config); };
  loop.steps = config.train.steps;
  loop.accumulation = config.train.accumulation;
  loop.optimizer = config.optimizer;
  loop.ema = config.train.ema;
  loop.rate = [optimizer = config.optimizer, steps = config.train.steps](const Parameters::Group& group, int64_t step, double) {
    return learning_rate(optimizer, group.lr, step, steps);
  };
  loop.log_every = config.train.log_every;
  loop.examples = config.train.batch * config.train.accumulation;
  loop.speed = "pairs_per_second";
  loop.validate_every = config.train.validate_every;
  loop.keep_best = config.train.keep_best;
  loop.sample_every = config.sample.every;
  loop.checkpoint_every = config.train.checkpoint_every;
  loop.keep_checkpoints = config.train.keep_checkpoints;
  return loop;
}

std::unique_ptr<Task> make_rollout_task(const RunConfig& config, Pipeline& pipeline, RolloutSources sources, const fs::path& run,
                                        LoopConfig& loop) {
  auto task = std::make_unique<RolloutTask>(config, pipeline, std::move(sources), run);
  loop.accumulation = task->passes();
  loop.examples = most_lesson_rows(config);
  loop.speed = "rows_per_second";
  return task;
}

}  // namespace

std::vector<std::string> changed_settings(const fs::path& folder, RunConfig now) {
  const fs::path file = folder / "config.resolved.toml";
  if (!fs::exists(file)) return {};
  RunConfig before;
  load_config(read_config_source(file, {}), visits_of(before));
  now = checked(std::move(now));
  std::vector<std::string> lines = config_difference(visits_of(before), visits_of(now));
  std::erase_if(lines, [&](const std::string& line) { return changes_no_result(line, now); });
  return lines;
}

void check_run(const RunConfig& given) {
  const RunConfig config = checked(given);
  if (config.task == "reward-model") {
    open_reward_model(config);
    check_first_row(config.data, *open_pairs(config.data));
  } else if (const auto pipeline = open_model(config); config.rollout.any()) {
    open_rollout_sources(config, *pipeline);
  } else {
    open_data(config);
  }
  RunFolder::check_place(config.output, start_of(config));
}

TrainResult train(const RunConfig& given) {
  const RunConfig config = checked(given);
  const ThreadCount threads(config.threads);
  std::unique_ptr<Pipeline> pipeline;
  std::unique_ptr<RunFolder> folder;
  std::unique_ptr<PairSource> source;
  std::unique_ptr<Task> task;
  LoopConfig loop = loop_config(config);
  try {
    if (config.task == "reward-model") {
      ClipScorer model = open_reward_model(config);
      source = open_pairs(config.data);
      check_first_row(config.data, *source);
      folder = open_run_folder(config);
      task = std::make_unique<RewardTask>(config, std::move(model), *source, folder->path());
    } else if (pipeline = open_model(config); config.rollout.any()) {
      RolloutSources sources = open_rollout_sources(config, *pipeline);
      folder = open_run_folder(config);
      task = make_rollout_task(config, *pipeline, std::move(sources), folder->path(), loop);
    } else {
      source = open_data(config);
      folder = open_run_folder(config);
      if (config.prior.any()) {
        const fs::path class_pictures = prior_pictures(*pipeline, config, cache_folder(config, folder->path()));
        source = with_prior(std::move(source), class_pictures, config.prior.class_prompt, config.data.prior_loss_weight);
      }
      task = std::make_unique<AlignTask>(config, *pipeline, *source, folder->path());
    }
  } catch (const IoError& error) {
    fail<IoError>(error.what(), "; no step was made. ", remedy_of_write(error.what()), ", then the same command goes on from there");
  }
  return run_loop(*task, loop, folder->path());
}

}  // namespace palate
