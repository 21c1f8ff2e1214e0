// From a config to a run that stands at its first step, or at the step that it goes on from.
#include <torch/types.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <csignal>

#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/log.h"
#include "palate/core/text.h"
#include "palate/hub/model_path.h"
#include "palate/io/atomic_file.h"
#include "palate/io/safetensors.h"
#include "palate/train/run.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

Visit visit_of(RunConfig& config) {
  return [&config](Fields& f) { config.visit(f); };
}

// A config that was put together in code is checked as one from a file, and gets the objective's members.
RunConfig checked(RunConfig config) {
  RunConfig whole;
  load_config({.file_name = "config", .file_text = config_to_toml(visit_of(config)), .overrides = {}}, visit_of(whole));
  return whole;
}

bool changes_no_result(const std::string& difference) {
  for (const char* key : {"output:", "resume:", "threads:", "train.steps:", "train.log_every:", "train.checkpoint_every:",
                          "train.keep_checkpoints:", "sample."}) {
    if (difference.rfind(key, 0) == 0) return true;
  }
  return false;
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

}  // namespace

Run::Run(const RunConfig& config)
    : config_(checked(config)), device_(parse_device(config_.device)), dtype_(parse_dtype(config_.train.dtype)) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of that write, not the end of the program
  set_threads(config_.threads);
  // A model that is trained whole starts from float32, whatever it computes in.
  pipeline_ = std::make_unique<Pipeline>(
      config_.model, LoadOptions{.dtype = config_.full ? torch::kFloat : dtype_, .device = device_, .variant = config_.variant});
  if (const std::string commit = model_commit(config_.model); !commit.empty()) log(config_.model, " is commit ", commit);
  check_batch_size(config_.data, config_.train.batch);
  check<UsageError>(pipeline_->extra_channels() == 0, "model: ", pipeline_->folder().string(), ": its U-Net takes ",
                    pipeline_->latent_channels() + pipeline_->extra_channels(), " channels and predicts ", pipeline_->latent_channels(),
                    ": models made for inpainting or editing are not trained here; train the base model");
  config_.objective.timestep_member->check_steps(pipeline_->schedule());  // before hours of encoding
  for (const size_t which : pipeline_->prompt_encoder().present())
    pipeline_->prompt_encoder().tokenizer(which);  // a file that is not there is said first
  read_word_as_initializer(pipeline_->prompt_encoder(), config_.text);
  open_pairs(config_.data);  // a path that is wrong is said before the run folder is made
  open_folder();
  cache_.emplace(PairCache::open(*pipeline_, config_.data, cache_folder(), static_cast<uint64_t>(config_.seed)));
  pipeline_->release_encoders();
  std::vector<PairOrder::Item> items;
  for (const int64_t row : cache_->rows(Split::train)) items.push_back({row, cache_->repeats(row), cache_->bucket(row)});
  order_.emplace(items, config_.train.batch, static_cast<uint64_t>(config_.seed));
  open_model();
  open_objective();
  resume();
}

fs::path Run::cache_folder() const { return config_.data.cache.empty() ? folder_->path() / "cache" : fs::path(config_.data.cache); }

void Run::open_folder() {
  const fs::path output = config_.output;
  const bool goes_on = config_.resume == "latest"
                           ? fs::exists(output)
                           : !config_.resume.empty() && fs::weakly_canonical(config_.resume).parent_path() == fs::weakly_canonical(output);
  check<UsageError>(config_.resume.empty() || config_.resume == "latest" || fs::is_directory(config_.resume),
                    "resume: expected latest or a checkpoint folder, '", config_.resume, "' is neither");
  folder_ = std::make_unique<RunFolder>(output, goes_on ? RunStart::resume : RunStart::fresh);
  if (goes_on) {
    remove_leftovers(output);
    compare_settings();
  } else if (config_.resume == "latest") {
    log(output.string(), " does not exist yet: starting at step 0");
  }
  RunConfig kept = config_;
  kept.resume.clear();
  write_file(output / "config.resolved.toml",
             "# palate train " + (output / "config.resolved.toml").string() + "\n" + config_to_toml(visit_of(kept)));
}

void Run::compare_settings() const {
  const fs::path file = folder_->path() / "config.resolved.toml";
  if (!fs::exists(file)) return;
  RunConfig before, now = config_;
  try {
    load_config(read_config_source(file, {}), visit_of(before));
  } catch (const Error& error) {
    warn(file.string(), " cannot be compared with this run's settings: ", error.what());
    return;
  }
  for (const auto& line : config_difference(visit_of(before), visit_of(now))) {
    if (!changes_no_result(line)) warn("the run goes on with another setting than it began with: ", line);
  }
}

void Run::open_model() {
  Denoiser& denoiser = pipeline_->denoiser();
  denoiser.set_gradient_checkpointing(config_.train.gradient_checkpointing);
  trainable_.emplace(config_.full ? Trainable::whole(denoiser, dtype_)
                                  : Trainable::adapters(denoiser, config_.lora, static_cast<uint64_t>(config_.seed)));
  optimizer_ = make_optimizer(config_.optimizer, trainable_->names(), trainable_->values());
  names_ = trainable_->names();
  values_ = trainable_->values();
  if (config_.text.any()) open_text();
  if (config_.train.ema > 0) ema_.emplace(config_.train.ema, names_, values_);
  log("training ", trainable_->count(), " numbers in ", trainable_->names().size(), " tensors",
      config_.full ? " (the whole U-Net)" : " (LoRA)");
  prepare_ = [this](PairBatch& batch, Draw* draw) {
    for (Tensor* tensor : {&batch.latents_win, &batch.latents_lose, &batch.preference}) {
      if (tensor->defined()) *tensor = tensor->to(device_);
    }
    for (Tensor* tensor : {&batch.condition.text, &batch.condition.text_embeds}) {
      if (tensor->defined()) *tensor = tensor->to(device_, dtype_);
    }
    if (batch.condition.time_ids.defined())
      batch.condition.time_ids = batch.condition.time_ids.to(device_);  // sizes in pixels: bf16 would round them
    if (text_) {
      batch.policy_condition = text_->condition(batch.prompts);
      batch.policy_condition.time_ids = batch.condition.time_ids;
    }
    if (!draw) return;
    for (Tensor* tensor : {&draw->t, &draw->weight, &draw->noise}) *tensor = tensor->to(device_);
  };
}

void Run::open_text() {
  pipeline_->prompt_encoder().keep(true);
  text_.emplace(pipeline_->prompt_encoder(), config_.text, config_.lora, static_cast<uint64_t>(config_.seed));
  const auto uses_word = [&](int64_t row) { return lowered(cache_->prompt(row)).find(lowered(config_.text.word)) != std::string::npos; };
  const auto& rows = cache_->rows(Split::train);
  if (std::none_of(rows.begin(), rows.end(), uses_word))
    warn("text.word: no caption has ", config_.text.word, ", so it stays what it begins as: use it in captions, for example \"a photo of ",
         config_.text.word, "\"");
  text_optimizer_ = make_optimizer(config_.optimizer, text_->names(), text_->values());
  names_.insert(names_.end(), text_->names().begin(), text_->names().end());
  values_.insert(values_.end(), text_->values().begin(), text_->values().end());
  int64_t count = 0;
  for (const auto& value : text_->values()) count += value.numel();
  log("training ", count, " numbers in ", text_->names().size(), " tensors of the text encoders",
      config_.text.word.empty() ? "" : concat(", the word ", config_.text.word, " among them"));
}

void Run::open_objective() {
  const auto seed = static_cast<uint64_t>(config_.seed);
  batch_options_ = {.seed = seed, .caption_dropout = config_.data.caption_dropout, .augment = true};
  const PairCache::Options held_out_options{.seed = mix(seed, stable_hash("held-out draws")), .caption_dropout = 0, .augment = false};
  const auto held_out = config_.train.validate_every > 0
                            ? Validation::choose(cache_->rows(Split::held_out), config_.train.validation_pairs, seed)
                            : std::vector<int64_t>();
  const bool cached = config_.objective.reference == "cached" && config_.objective.loss_member->needs_reference();
  ReferenceSetup setup;
  setup.policy = config_.full ? nullptr : &pipeline_->denoiser();
  setup.denoiser_folder = pipeline_->folder() / "unet";
  setup.load = {.dtype = dtype_, .device = device_, .variant = config_.variant};
  setup.schedule = &pipeline_->schedule();
  setup.batch = config_.train.batch;
  if (cached) {
    setup.parts.push_back(reference_rows(*cache_, cache_->rows(Split::train), batch_options_));
    if (!held_out.empty()) setup.parts.push_back(reference_rows(*cache_, held_out, held_out_options));
    setup.folder = cache_folder();
    setup.weights_hash = pipeline_->weights_hash("unet");
  }
  objective_ = make_objective(config_.objective, pipeline_->schedule(), make_reference(config_.objective, setup));
  if (held_out.empty()) return;
  Validation::Setup validation;
  validation.cache = &*cache_;
  validation.objective = &config_.objective;
  validation.rows = held_out;
  validation.options = held_out_options;
  validation.draws = cached ? std::min(config_.train.validation_draws, config_.objective.reference_draws) : config_.train.validation_draws;
  validation.batch = config_.train.batch;
  validation.prepare = prepare_;
  validation_.emplace(std::move(validation));
}

void Run::resume() {
  if (config_.resume == "latest") {
    if (const auto checkpoint = latest_checkpoint(folder_->path()))
      restore(*checkpoint);
    else if (fs::exists(folder_->path() / "metrics.jsonl"))
      log("no checkpoint was written yet: starting at step 0");
  } else if (!config_.resume.empty()) {
    restore(load_checkpoint(config_.resume));
  }
  if (!config_.resume.empty()) supersede_after(folder_->path(), state_.step);
  state_.threads = at::get_num_threads();
  seconds_before_ = state_.seconds;
  logged_step_ = state_.step;
  metrics_ = std::make_unique<MetricLog>(folder_->path(), state_.step);
}

void Run::restore(const Checkpoint& checkpoint) {
  const torch::NoGradGuard no_grad;
  const fs::path weights = checkpoint.folder / "unet/diffusion_pytorch_model.safetensors";
  std::optional<SafetensorsFile> file;
  if (!trainable_->is_lora()) {
    check<UsageError>(fs::exists(weights), checkpoint.folder.string(),
                      " holds adapters, but full = true: resume with the run's own config");
    file.emplace(weights);
  }
  for (size_t i = 0; i < names_.size(); ++i) {
    const std::string& name = names_[i];
    Tensor value = values_[i], saved;
    if (file) {
      saved = file->tensor(name);
    } else if (const auto found = checkpoint.tensors.find("trained." + name); found != checkpoint.tensors.end()) {
      saved = found->second;
    }
    check<UsageError>(saved.defined() && saved.sizes() == value.sizes(), checkpoint.folder.string(), ": expected '", name, "' of shape ",
                      show_shape(value.sizes()), ", found ", saved.defined() ? show_shape(saved.sizes()) : "none",
                      ": the run was started with another model, lora.rank or lora.targets");
    value.copy_(saved);
  }
  state_ = checkpoint.state;
  optimizer_->load(checkpoint.tensors, state_.step);
  if (text_optimizer_) text_optimizer_->load(checkpoint.tensors, state_.step);
  if (ema_) ema_->load(checkpoint.tensors, state_.step);
  trainable_->publish();
  saved_step_ = checkpoint.folder.parent_path() == folder_->path() ? state_.step : -1;
  log("going on after step ", state_.step, " (", checkpoint.folder.string(), ")");
  if (state_.threads != at::get_num_threads()) {
    warn("the run began with ", state_.threads, " threads and goes on with ", at::get_num_threads(),
         ": results will agree but for rounding; threads=", state_.threads, " gives the same bits");
  }
}

}  // namespace palate
