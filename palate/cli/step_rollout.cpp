#include "palate/cli/step_rollout.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/cli/step_batch.h"
#include "palate/core/error.h"
#include "palate/diffusion/schedule.h"
#include "palate/objective/step_objective.h"

namespace palate {
namespace {

// The steps of a file. Of pairs each tensor is NAME_win and NAME_lose, or NAME for both.
class StepFile {
 public:
  StepFile(const std::string& path, bool pairs, c10::Device device) : file_(path), device_(device) {
    if (pairs)
      suffixes_ = {"_win", "_lose"};
    else
      suffixes_ = {""};
    count_ = one("latents", suffixes_[0]).size(0);
  }
  int64_t count() const { return count_; }
  int64_t views() const { return static_cast<int64_t>(suffixes_.size()); }
  bool contains(const std::string& name) const { return file_.contains(name) || file_.contains(name + suffixes_[0]); }
  // [views * B, ...]
  Tensor rows(const std::string& name) const {
    std::vector<Tensor> views;
    for (const auto& suffix : suffixes_) {
      views.push_back(one(name, suffix));
      check<UsageError>(views.back().dim() > 0 && views.back().size(0) == count_, path(), ": ", name, suffix, " has shape ",
                        show_shape(views.back().sizes()), ", expected ", count_, " rows, as the latents have");
    }
    return torch::cat(views);
  }
  // [views * B], of which one number stands for all.
  Tensor numbers(const std::string& name, c10::ScalarType dtype) const {
    std::vector<Tensor> views;
    for (const auto& suffix : suffixes_) {
      const Tensor values = one(name, suffix).flatten();
      check<UsageError>(values.numel() == count_ || values.numel() == 1, path(), ": ", name, suffix, " has ", values.numel(),
                        " values, expected ", count_, " or one");
      views.push_back(values.to(dtype).expand({count_}));
    }
    return torch::cat(views).contiguous();
  }
  // The arguments of the network under PREFIX NAME; empty where there is none.
  Condition condition(const std::string& prefix, c10::ScalarType dtype) const {
    Condition found;
    for (const auto& name : condition_names()) {
      if (contains(prefix + name)) found.set(name, rows(prefix + name));
    }
    return found.to(device_, dtype);
  }
  std::string path() const { return file_.path().string(); }

 private:
  Tensor one(const std::string& name, const std::string& suffix) const {
    const std::string own = file_.contains(name + suffix) ? name + suffix : name;
    check<UsageError>(file_.contains(own), path(), ": step needs the tensor '", name, suffix, "', which is not in the file: add it");
    return read_finite(file_, own, device_);
  }

  SafetensorsFile file_;
  c10::Device device_;
  std::vector<std::string> suffixes_;
  int64_t count_ = 0;
};

MadeSteps read_steps(const StepFile& file, const NoiseProcess& process, int64_t sampler_steps, c10::ScalarType dtype, bool guided) {
  MadeSteps batch;
  batch.x_t = file.rows("latents").to(torch::kFloat32);
  batch.x_s = file.rows("previous_latents").to(torch::kFloat32);
  check<UsageError>(batch.x_t.dim() >= 4 && batch.x_t.sizes() == batch.x_s.sizes(), file.path(), ": latents have shape ",
                    show_shape(batch.x_t.sizes()), " and previous_latents ", show_shape(batch.x_s.sizes()),
                    ": expected one shape, [B, C, H, W]");
  batch.t = file.numbers("timesteps", torch::kInt64);
  const auto steps = static_cast<int64_t>(process.range().last) + 1;
  batch.s = file.contains("previous_timesteps") ? file.numbers("previous_timesteps", torch::kInt64) : batch.t - steps / sampler_steps;
  const bool inside = batch.t.ge(0).logical_and(batch.t.lt(steps)).logical_and(batch.s.lt(batch.t)).all().item<bool>();
  check<UsageError>(inside, file.path(), ": expected timesteps from 0 to ", steps - 1, " and previous_timesteps below them");
  batch.positive = file.condition("", dtype);
  check<UsageError>(batch.positive["encoder_hidden_states"].defined(), file.path(),
                    ": step needs the tensor 'encoder_hidden_states', which is not in the file");
  if (guided) {
    batch.negative = file.condition("uncond_", dtype).with_missing_of(Condition{{"time_ids", batch.positive["time_ids"]}});
    check<UsageError>(batch.negative["encoder_hidden_states"].defined(), file.path(),
                      ": guidance needs the tensor 'uncond_encoder_hidden_states', which is not in the file: give it, or guidance_scale=1");
  }
  if (file.views() == 1) batch.advantages = file.numbers("advantages", torch::kFloat32);
  if (file.contains("old_log_prob")) batch.old_log_prob = file.numbers("old_log_prob", torch::kFloat32);
  return batch;
}

}  // namespace

TensorMap step_on_rollout(Denoiser& network, const RunConfig& run, const StepModel& model, const std::string& in) {
  const Json scheduler = read_json(model.folder / "scheduler" / "scheduler_config.json");
  const auto process = make_noise_process(scheduler);
  const StepFile file(in, step_needs_of(run.objective).pairs(), model.load.device);
  double guidance_scale = run.rollout.guidance_scale;
  if (guidance_scale == 0) guidance_scale = file.contains("uncond_encoder_hidden_states") ? RolloutConfig().guidance_scale : 1;
  const GaussianStep step(*process, scheduler, guidance_scale, run.rollout.eta);
  StepObjective objective(run.objective, step);
  ReferenceSetup setup;
  setup.policy = run.full ? nullptr : &network;
  setup.denoiser_folder = model.frozen;
  setup.load = model.load;
  objective.set_reference(make_reference(run.objective, setup));
  const MadeSteps batch = read_steps(file, *process, run.objective.sampler_steps, model.load.dtype, step.guided());
  Policy policy{network};
  const StepOutput result = objective.evaluate(policy, batch);
  const Tensor loss = result.losses.mean();
  loss.backward();
  TensorMap out = {{"loss", loss.detach()}, {"losses", result.losses.detach()}};
  if (result.terms.logits.defined()) out["logits"] = result.terms.logits.detach();
  for (const auto& [name, values] : TensorMap{{"log_prob", result.log_prob}, {"ratio", result.ratio}, {"kl", result.kl}}) {
    if (!values.defined()) continue;
    const int64_t count = file.count();
    out[name + (file.views() == 2 ? "_win" : "")] = values.narrow(0, 0, count).clone();
    if (file.views() == 2) out[name + "_lose"] = values.narrow(0, count, count).clone();
  }
  for (const auto& [name, value] : result.terms.terms) out["terms." + name] = value.detach().clone();
  return out;
}

}  // namespace palate
