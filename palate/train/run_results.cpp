// What a run leaves in its folder: pictures, checkpoints, the best state, the trained weights.
#include <torch/types.h>

#include <ATen/Parallel.h>

#include <nlohmann/json.hpp>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/hub/model_path.h"
#include "palate/io/atomic_file.h"
#include "palate/io/safetensors.h"
#include "palate/train/run.h"
#include "palate/train/sample_grid.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

fs::path best_path(const fs::path& run, int64_t step) { return run / ("best-" + std::to_string(step)); }

// A whole model folder: what was not trained is copied beside unet/.
void copy_components(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path name = entry.path().filename();
    if (name == "unet") continue;
    const bool component = entry.is_directory() &&
                           (fs::exists(entry.path() / "config.json") || name == "scheduler" || name.string().rfind("tokenizer", 0) == 0);
    if (!component && name != "model_index.json") continue;
    std::error_code error;
    fs::copy(entry.path(), to / name, fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
    check<IoError>(!error, (to / name).string(), ": cannot be copied from ", entry.path().string(), " (", error.message(), ")");
  }
}

}  // namespace

void Run::sample(int64_t at) {
  trainable_->set_training(false);
  with_result_weights([&] {
    const torch::NoGradGuard no_grad;
    const Tensor grid = draw_samples(*pipeline_, config_.sample, static_cast<uint64_t>(config_.seed), sample_folder(folder_->path(), at));
    metrics_->image("samples", grid, at);
  });
  pipeline_->release_encoders();
}

void Run::save() {
  if (saved_step_ == state_.step) return;
  TensorMap tensors;
  if (trainable_->is_lora()) {
    for (size_t i = 0; i < names_.size(); ++i) tensors["trained." + names_[i]] = values_[i].detach();
  }
  optimizer_->save(tensors);
  if (text_optimizer_) text_optimizer_->save(tensors);
  if (ema_) ema_->save(tensors);
  const fs::path folder = checkpoint_path(folder_->path(), state_.step);
  save_checkpoint(folder, state_, tensors, [&](const fs::path& work) {
    fs::copy_file(folder_->path() / "config.resolved.toml", work / "config.resolved.toml");
    save_result(work);
  });
  saved_step_ = state_.step;
  prune_checkpoints(folder_->path(), config_.train.keep_checkpoints);
  prune_best();
  log_detail(concat("checkpoint ", folder.string()));
}

void Run::save_result(const fs::path& folder) const {
  if (!text_) return trainable_->save_result(folder, metadata());
  std::map<std::string, const Lora*> loras = text_->loras();
  loras["unet"] = &trainable_->lora();
  Lora::save(folder, loras, metadata());
  text_->save_word(folder);
}

void Run::save_best() {
  const fs::path folder = best_path(folder_->path(), state_.step);
  remove_folder(folder);  // of a run that came to this step before it was killed
  TensorMap tensors;
  for (size_t i = 0; i < names_.size(); ++i) tensors[names_[i]] = values_[i].detach();
  AtomicFolder atomic(folder);
  save_safetensors(atomic.work() / "values.safetensors", tensors);
  atomic.commit();
}

// An earlier best may still be what the last checkpoint knows of, so they are removed only when a checkpoint was written.
void Run::prune_best() const {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(folder_->path())) {
    if (entry.path().filename().string().rfind("best-", 0) == 0 && entry.path() != best_path(folder_->path(), state_.best_step))
      old.push_back(entry.path());
  }
  for (const auto& path : old) remove_folder(path);
}

void Run::take_best() {
  const fs::path file = best_path(folder_->path(), state_.best_step) / "values.safetensors";
  if (!fs::exists(file)) {
    warn(file.string(), " is not there any more: the result is the last state, not the best");
    return;
  }
  const torch::NoGradGuard no_grad;
  const SafetensorsFile best(file);
  for (size_t i = 0; i < names_.size(); ++i) {
    Tensor value = values_[i];
    value.copy_(best.tensor(names_[i]));
  }
  log("the result is the state of step ", state_.best_step, ", the best on held-out pairs");
}

void Run::write_results() {
  trainable_->set_training(false);
  if (ema_) ema_->swap(values_);
  if (config_.train.keep_best && state_.best_step >= 0) take_best();
  trainable_->publish();
  ema_.reset();  // the values are the result from here on
  save_result(folder_->path());
  if (config_.full) copy_components(pipeline_->folder(), folder_->path());
  if (!config_.sample.prompts.empty()) sample(state_.step);
  const fs::path result =
      folder_->path() / (config_.full ? "unet/diffusion_pytorch_model.safetensors" : "pytorch_lora_weights.safetensors");
  Json json = {{"model", config_.model},
               {"result", fs::relative(result, folder_->path()).string()},
               {"result_sha256", sha256_file(result)},
               {"data_key", cache_->key()},
               {"train_pairs", cache_->rows(Split::train).size()},
               {"held_out_pairs", cache_->rows(Split::held_out).size()},
               {"trained_numbers", trainable_->count()},
               {"steps", state_.step},
               {"best_step", state_.best_step},
               {"seconds", state_.seconds},
               {"threads", at::get_num_threads()}};
  if (const std::string commit = model_commit(config_.model); !commit.empty()) json["model_commit"] = commit;  // of ORG/NAME
  json["metrics"] = Json::object();
  for (const auto& [name, value] : last_) json["metrics"][name] = value;
  write_json(folder_->path() / "run.json", json);
  log("done: ", result.string());
}

Metadata Run::metadata() const {
  return {{"ss_steps", std::to_string(state_.step)},
          {"ss_seed", std::to_string(config_.seed)},
          {"ss_learning_rate", concat(config_.optimizer.lr)},
          {"ss_sd_model_name", fs::path(config_.model).filename().string()},
          {"palate_loss", config_.objective.loss}};
}

}  // namespace palate
