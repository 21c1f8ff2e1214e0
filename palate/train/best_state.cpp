#include "palate/train/best_state.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

fs::path best_path(const fs::path& run, int64_t step) { return run / ("best-" + std::to_string(step)); }

}  // namespace

void save_best(const fs::path& run, int64_t step, const Parameters& parameters) {
  const fs::path folder = best_path(run, step);
  remove_folder(folder);  // of a run that came to this step before it was killed
  TensorMap tensors;
  for (size_t i = 0; i < parameters.names().size(); ++i) tensors[parameters.names()[i]] = parameters.values()[i].detach();
  AtomicFolder atomic(folder);
  save_safetensors(atomic.work() / "values.safetensors", tensors);
  atomic.commit();
}

void prune_best(const fs::path& run, int64_t best_step) {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(run)) {
    if (entry.path().filename().string().starts_with("best-") && entry.path() != best_path(run, best_step)) old.push_back(entry.path());
  }
  for (const auto& path : old) remove_folder(path);
}

void take_best(const fs::path& run, int64_t step, const Parameters& parameters) {
  const fs::path file = best_path(run, step) / "values.safetensors";
  if (!fs::exists(file)) {
    warn(file.string(), " is not there any more: the result is the last state, not the best");
    return;
  }
  const torch::NoGradGuard no_grad;
  const SafetensorsFile best(file);
  for (size_t i = 0; i < parameters.names().size(); ++i) {
    Tensor value = parameters.values()[i];
    value.copy_(best.tensor(parameters.names()[i]));
  }
  log_info("the result is the state of step ", step, ", the best on held-out pairs");
}

void copy_values(const TensorMap& tensors, const Parameters& parameters, const std::string& where) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.names().size(); ++i) {
    const std::string& name = parameters.names()[i];
    Tensor value = parameters.values()[i];
    auto saved = tensors.find("trained." + name);
    if (saved == tensors.end()) saved = tensors.find("value." + name);
    const bool there = saved != tensors.end();
    check<UsageError>(there && saved->second.sizes() == value.sizes(), where, ": expected '", name, "' of shape ",
                      show_shape(value.sizes()), ", found ", there ? show_shape(saved->second.sizes()) : "none",
                      ": the run was started with another model, lora.rank or lora.targets");
    value.copy_(saved->second);
  }
}

}  // namespace palate
