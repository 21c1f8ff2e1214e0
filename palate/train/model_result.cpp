#include "palate/train/model_result.h"

#include <ATen/Parallel.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/hub/model_path.h"
#include "palate/io/json.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// A whole model folder: what was not trained is copied beside the denoiser.
void copy_components(const fs::path& from, const fs::path& to, const std::string& denoiser) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path name = entry.path().filename();
    if (name == denoiser) continue;
    const bool component =
        entry.is_directory() && (fs::exists(entry.path() / "config.json") || name == "scheduler" || name.string().starts_with("tokenizer"));
    if (!component && name != "model_index.json") continue;
    std::error_code error;
    fs::copy(entry.path(), to / name, fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
    check<IoError>(!error, (to / name).string(), ": cannot be copied from ", entry.path().string(), " (", error.message(), ")");
  }
}

}  // namespace

Metadata lora_metadata(const RunConfig& config, const TrainState& state) {
  return {{"ss_steps", std::to_string(state.step)},
          {"ss_seed", std::to_string(config.seed)},
          {"ss_learning_rate", concat(config.optimizer.lr)},
          {"ss_sd_model_name", fs::path(config.model).filename().string()},
          {"palate_loss", config.objective.loss}};
}

void write_run_result(const fs::path& run, const RunConfig& config, Pipeline& pipeline, const Json& more, const TrainState& state,
                      const Metrics& last) {
  const std::string& component = pipeline.denoiser_component();
  if (config.full) copy_components(pipeline.folder(), run, component);
  const fs::path result = config.full ? run / component / "diffusion_pytorch_model.safetensors" : run / "pytorch_lora_weights.safetensors";
  Json json = {{"model", config.model},
               {"result", fs::relative(result, run).string()},
               {"result_sha256", sha256_file(result)},
               {"steps", state.step},
               {"best_step", state.best_step},
               {"seconds", state.seconds},
               {"threads", at::get_num_threads()}};
  json.update(more);
  if (const std::string commit = model_commit(config.model); !commit.empty()) json["model_commit"] = commit;  // of ORG/NAME
  json["metrics"] = Json::object();
  for (const auto& [name, value] : last) json["metrics"][name] = value;
  write_json(run / "run.json", json);
  log_info("done: ", result.string());
}

}  // namespace palate
