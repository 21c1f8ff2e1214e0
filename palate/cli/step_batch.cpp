#include "palate/cli/step_batch.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace {

// The batch file, with a sentence for what is missing.
class BatchFile {
 public:
  BatchFile(const std::string& path, c10::Device device) : file_(path), device_(device) {}
  Tensor required(const std::string& name) const { return read_finite(file_, name, device_); }
  // float32, and as many rows as the batch has.
  Tensor rows(const std::string& name, int64_t count) const {
    const Tensor tensor = required(name);
    check<UsageError>(tensor.dim() > 0 && tensor.size(0) == count, file_.path().string(), ": ", name, " has shape ",
                      show_shape(tensor.sizes()), ", expected ", count, " rows, as the latents have");
    return tensor;
  }
  // [B], float32.
  Tensor numbers(const std::string& name, int64_t count) const {
    const Tensor values = rows(name, count).to(torch::kFloat32);
    check<UsageError>(values.dim() == 1, file_.path().string(), ": ", name, " has shape ", show_shape(values.sizes()), ", expected [",
                      count, "]");
    return values;
  }
  bool contains(const std::string& name) const { return file_.contains(name); }

 private:
  SafetensorsFile file_;
  c10::Device device_;
};

// [B, nodes, C, H, W] for latents [B, C, H, W].
Tensor node_noise(const BatchFile& file, const Tensor& latents) {
  const Tensor noise = file.rows("inversion_noise", latents.size(0)).to(torch::kFloat32);
  check<UsageError>(noise.dim() == latents.dim() + 1 && noise[0][0].sizes() == latents[0].sizes(), "step: inversion_noise has shape ",
                    show_shape(noise.sizes()), ", expected [B, inversion_steps, C, H, W]");
  return noise;
}

void check_timesteps(const char* name, const Tensor& t, const TimestepRange& range, const std::string& file) {
  if (!t.defined()) return;
  const Tensor inside = t.ge(range.first).logical_and(t.le(range.last)).logical_and(range.whole ? t.eq(t.round()) : t.eq(t));
  check<UsageError>(inside.all().item<bool>(), file, ": ", name, " has a value that is not ", range.whole ? "a whole number " : "",
                    "between ", range.first, " and ", range.last);
}

}  // namespace

Tensor read_finite(const SafetensorsFile& file, const std::string& name, c10::Device device) {
  const std::string path = file.path().string();
  check<UsageError>(file.contains(name), path, ": step needs the tensor '", name, "', which is not in the file: add it");
  const Tensor tensor = file.tensor(name).to(device);
  check<UsageError>(tensor.isfinite().all().item<bool>(), path, ": the tensor '", name,
                    "' has a value that is not a finite number: find out where it came from");
  return tensor;
}

void check_timesteps(const Noising& noising, const TimestepRange& range, const std::string& file) {
  check_timesteps("timesteps", noising.t, range, file);
  check_timesteps("features_timesteps", noising.features_t, range, file);
  if (!noising.previous_t.defined()) return;
  check_timesteps("previous_timesteps", noising.previous_t, range, file);
  check<UsageError>(noising.previous_t.le(noising.t).all().item<bool>(), file,
                    ": previous_timesteps has a value above its timestep; a denoising step leads to less noise");
}

StepBatch read_step_batch(const std::string& path, const Needs& needs, c10::Device device, c10::ScalarType dtype) {
  const BatchFile file(path, device);
  for (const char* name : {"latents_win", "latents_lose"}) {
    check<UsageError>(
        !needs.labels || !file.contains(name), path, ": '", name,
        "' is of a pair, and this loss takes single pictures: give 'latents' and 'labels', 1 (thumb up) or -1 (thumb down) each");
  }
  const bool single = needs.labels || (!needs.rejected && !file.contains("latents_win"));
  const Tensor first = file.required(single ? "latents" : "latents_win").to(torch::kFloat32);
  check<UsageError>(first.dim() >= 4, "step: latents have shape ", show_shape(first.sizes()), ", expected [B, C, H, W]");
  const int64_t count = first.size(0);
  const auto like_latents = [&](const std::string& name) {
    const Tensor tensor = file.rows(name, count).to(torch::kFloat32);
    check<UsageError>(tensor.sizes() == first.sizes(), "step: ", name, " has shape ", show_shape(tensor.sizes()), ", expected ",
                      show_shape(first.sizes()), ", as the latents have");
    return tensor;
  };
  StepBatch given;
  Batch& batch = given.batch;
  batch.views = needs.rejected ? 2 : 1;
  batch.x0 = needs.rejected ? torch::cat({first, like_latents("latents_lose")}) : first;
  file.required("encoder_hidden_states");
  for (const auto& name : condition_names()) {
    if (file.contains(name)) batch.condition.set(name, file.rows(name, count));
  }
  batch.condition = batch.condition.to(device, dtype);
  for (const auto& name : condition_names()) {
    if (file.contains("base_" + name)) batch.base_condition.set(name, file.rows("base_" + name, count));
  }
  if (!batch.base_condition.empty()) batch.base_condition = batch.base_condition.to(device, dtype).with_missing_of(batch.condition);
  if (file.contains("weights")) batch.weight = file.numbers("weights", count);
  if (file.contains("prior")) batch.prior = file.numbers("prior", count).ne(0);
  if (needs.rewards) batch.reward = file.numbers("rewards", count);
  batch.label = torch::ones({count}, first.options());
  if (needs.labels) {
    const char* name = file.contains("label") ? "label" : "labels";
    batch.label = file.numbers(name, count);
    check<UsageError>(batch.label.abs().eq(1).all().item<bool>(), path, ": '", name,
                      "' has another value than 1 (thumb up) and -1 (thumb down)");
  } else if (file.contains("preference")) {
    batch.label = file.numbers("preference", count);
    check<UsageError>(batch.label.ge(0).logical_and(batch.label.le(1)).all().item<bool>(), path,
                      ": 'preference' has a value that is not between 0 and 1");
  }
  for (int64_t i = 0; i < count; ++i) batch.visits.push_back({.id = static_cast<uint64_t>(i), .row = i});
  const auto times = [&](const std::string& name) {
    const Tensor t = file.required(name).flatten();
    check<UsageError>(t.numel() == count || t.numel() == 1, "step: ", name, " has ", t.numel(), " values, expected ", count, " or one");
    return t.expand({count}).contiguous();
  };
  given.noising = {.t = times("timesteps"),
                   .weight = batch.weight.defined() ? batch.weight : torch::ones({count}, first.options()),
                   .noise = like_latents("noise")};
  if (file.contains("previous_timesteps")) given.noising.previous_t = times("previous_timesteps");
  if (file.contains("features_timesteps")) given.noising.features_t = times("features_timesteps");
  if (needs.step_noise || file.contains("step_noise")) given.noising.step_noise = like_latents("step_noise");
  if (file.contains("inversion_noise")) given.noising.inversion_noise = node_noise(file, first);
  return given;
}

}  // namespace palate
