// palate step: one evaluation of an objective on given latents, noise, timesteps and text states. The tool for comparing with
// any other implementation: nothing in it is random, there is no dropout and no augmentation.
#include <torch/nn/module.h>
#include <torch/types.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/adapters/lora.h"
#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/step_batch.h"
#include "palate/cli/step_rollout.h"
#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/diffusion/noise_process.h"
#include "palate/hub/model_path.h"
#include "palate/objective/objective.h"
#include "palate/pipeline/model_folder.h"
#include "palate/train/run_config.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct StepArguments {
  std::string config, model, objective, lora, in, out, reference_model;
  std::string dtype = "float32", device = "cpu";
  bool full = false;
  std::vector<std::string> overrides;
};

// The objective by name (a loss or a preset) with key=value pairs, `objective.` before the key or not; of [rollout] what a step depends on.
void read_named(const StepArguments& a, RunConfig& run) {
  std::vector<std::string> overrides;
  const auto add = [&](const std::string& text) {
    const bool whole = text.starts_with("objective.") || text.starts_with("rollout.");
    const bool step = text.starts_with("eta=") || text.starts_with("guidance_scale=");
    overrides.push_back(whole ? text : concat(step ? "rollout." : "objective.", text));
  };
  std::vector<std::string> names, from;
  for (const auto& line : losses()) names.push_back(line.name);
  if (std::find(names.begin(), names.end(), a.objective) != names.end()) from = {"objective.loss=" + a.objective};
  for (const auto& line : presets()) {
    if (std::find(names.begin(), names.end(), line.name) != names.end()) continue;  // `sft` is both: the loss is meant
    names.push_back(line.name);
    if (line.name == a.objective) from = preset_overrides(line.name);
  }
  check<UsageError>(!from.empty(), "--objective: there is no loss or preset '", a.objective, "'", did_you_mean(a.objective, names),
                    "; it is one of ", one_of(names));
  for (const auto& text : from) {
    check<UsageError>(text != "task=reward-model", "--objective: ", a.objective,
                      " trains a CLIPModel on scores of pictures (palate train --preset), which palate step does not evaluate");
    if (text.starts_with("objective.") || text.starts_with("rollout.")) add(text);
  }
  for (const auto& text : a.overrides) add(text);
  run.rollout.guidance_scale = 0;  // where nothing says it: whatever the file holds
  load_config({.file_name = "", .file_text = "", .overrides = overrides}, [&](Fields& f) {
    f.table("objective", run.objective, "");
    f.table("rollout", run.rollout, "");
  });
  std::string& reference = run.objective.reference;
  if (reference == "snapshot") reference = "adapters_off";  // of one step nothing is known before it
  if (a.full && reference == "adapters_off") reference = "frozen_copy";
}

RunConfig resolve(const StepArguments& a) {
  RunConfig run;
  if (!a.config.empty()) {
    load_config(read_config_source(a.config, a.overrides), [&](Fields& f) { run.visit(f); });
  } else {
    check<UsageError>(!a.objective.empty(), "step needs --objective NAME (palate list losses, palate list presets) or --config FILE");
    read_named(a, run);
  }
  if (!a.model.empty()) run.model = a.model;
  run.full = run.full || a.full;
  check<UsageError>(!run.model.empty(), "step needs --model DIR, a model folder in diffusers' layout");
  check<UsageError>(run.full || !a.lora.empty(), "step needs --lora FILE, or --full for the gradients of the whole network");
  check<UsageError>(run.objective.reference != "cached", "step computes the reference itself: objective.reference cannot be cached here");
  return run;
}

TensorMap outputs(const ObjectiveOutput& result) {
  TensorMap out;
  for (const auto& [name, value] : TensorMap{{"loss", result.loss}, {"losses", result.losses}, {"logits", result.terms.logits}}) {
    if (value.defined()) out[name] = value.detach().to(torch::kFloat32);
  }
  for (const auto& [name, d] : TensorMap{{"policy", result.policy}, {"reference", result.reference}}) {
    if (!d.defined()) continue;
    if (result.views == 1) out[name] = d.clone();
    out[name + "_win"] = d.narrow(0, 0, result.examples).clone();
    if (result.views == 2) out[name + "_lose"] = d.narrow(0, result.examples, result.examples).clone();
  }
  for (const auto& [name, value] : result.terms.terms) out["terms." + name] = value.detach().to(torch::kFloat32);
  for (const auto& [name, value] : result.terms.shown) out[name] = value.detach().to(torch::kFloat32);
  return out;
}

// What is trained, under the names that it is saved with: the gradients that are asked for.
TensorMap trained_values(Denoiser& network, const std::optional<Lora>& lora, bool full) {
  TensorMap trained;
  for (const auto& item : network.module().named_parameters()) {
    item.value().set_requires_grad(full);
    if (full) trained[item.key()] = item.value();
  }
  if (!lora) return trained;
  for (const auto& [name, value] : lora->parameters()) trained[concat(unet_component, ".", name)] = value;
  return trained;
}

// A loss of the grid on noised pictures. The gradients are left in the network's parameters.
TensorMap on_noised(Denoiser& network, const RunConfig& run, const StepModel& model, const std::string& in) {
  const auto process = make_noise_process(read_json(model.folder / "scheduler" / "scheduler_config.json"));
  Objective objective(run.objective,
                      {.process = *process, .network = &network, .frozen = run.full ? model.frozen : fs::path(), .load = model.load});
  if (objective.needs().reference) {
    ReferenceSetup setup;
    setup.policy = run.full ? nullptr : &network;
    setup.denoiser_folder = model.frozen;
    setup.load = model.load;
    objective.set_reference(make_reference(run.objective, setup));
  }
  const StepBatch given = read_step_batch(in, objective.needs(), model.load.device, model.load.dtype);
  if (objective.needs().rewards) objective.set_rewards(given.batch.reward);
  check_timesteps(given.noising, process->range(), in);
  check<UsageError>(given.noising.t.le(objective.range().last).all().item<bool>(), in, ": timesteps: objective.error_space '",
                    run.objective.error_space, "' has no error where no signal is left (zero terminal SNR), so they end at ",
                    objective.range().last);
  Policy policy{network};
  const ObjectiveOutput result = objective.evaluate(policy, given.batch, given.noising);
  result.loss.backward();
  return outputs(result);
}

void step(const StepArguments& a) {
  const RunConfig run = resolve(a);
  check_input("--in", a.in);
  check_parent(a.out);
  const c10::Device device = parse_device(a.device);
  const c10::ScalarType dtype = parse_dtype(a.dtype);
  const LoadOptions load{.dtype = dtype, .device = device, .variant = ""};
  const fs::path model = model_path(run.model),
                 frozen = (a.reference_model.empty() ? model : model_path(a.reference_model)) / unet_component;
  for (const char* part : {unet_component, "scheduler"}) {
    check<UsageError>(fs::is_directory(model / part), model.string(), ": expected a model folder, found none of ", part, "/ in it");
  }
  check<UsageError>(fs::is_directory(frozen), "--reference-model: ", frozen.string(), ": there is no such folder");
  LoadOptions own = load;
  own.will_train = run.full;
  const auto network = load_denoiser(model / unet_component, own);
  std::optional<Lora> lora;
  if (!a.lora.empty()) lora = Lora::load(network->module(), a.lora);
  const TensorMap trained = trained_values(*network, lora, run.full);

  const bool own_steps = is_step_loss(run.objective.loss);
  TensorMap out =
      own_steps ? step_on_rollout(*network, run, {model, frozen, load}, a.in) : on_noised(*network, run, {model, frozen, load}, a.in);
  for (const auto& [name, value] : trained) out["grad." + name] = value.grad().defined() ? value.grad() : torch::zeros_like(value);
  save_safetensors(a.out, out);
}

}  // namespace

void add_step(CLI::App& app) {
  auto a = std::make_shared<StepArguments>();
  app.add_option("--model", a->model, "model folder (unet/, scheduler/)")->type_name("DIR");
  auto* objective = app.add_option("--objective", a->objective, "a loss or a preset (palate list losses|presets)")->type_name("NAME");
  app.add_option("--config", a->config, "a run's config instead: its model, [objective] and full")->type_name("FILE")->excludes(objective);
  app.add_option("--lora", a->lora, "the trained adapters")->type_name("FILE");
  app.add_flag("--full", a->full, "gradients of the whole U-Net; the reference is a frozen copy");
  app.add_option("--reference-model", a->reference_model, "model folder of the frozen copy; default: --model")->type_name("DIR");
  app.add_option(
         "--in", a->in,
         "safetensors: latents_win, latents_lose, noise [B,C,H,W], timesteps [B], encoder_hidden_states [B,L,D], optional preference [B]; "
         "SDXL: text_embeds, time_ids; single pictures: latents, and labels [B], 1 or -1 (kto), rewards [B] (rwr), weights [B] "
         "of their losses, prior [B], 1 for pictures of the class (dco), base_encoder_hidden_states for the reference; steps: step_noise "
         "[B,C,H,W], previous_timesteps, features_timesteps [B]; noising=inverted: inversion_noise [B,inversion_steps,C,H,W], else noise "
         "at each node; own samples (ddpo ...): latents, previous_latents, timesteps, previous_timesteps, advantages, old_log_prob, "
         "uncond_encoder_hidden_states; of pairs (d3po, spo) NAME_win, NAME_lose")
      ->required()
      ->type_name("FILE");
  app.add_option("--out", a->out,
                 "safetensors: loss, losses, logits, policy_win|lose, reference_win|lose, terms.NAME, grad.NAME; dpo-cm, sdpo: weight_win, "
                 "weight_lose, mask; own steps: log_prob, ratio, kl")
      ->required()
      ->type_name("FILE");
  app.add_option("--dtype", a->dtype, "float32 | bf16 | fp16")->capture_default_str();
  app.add_option("--device", a->device, "cpu | cuda")->capture_default_str();
  app.add_option("overrides", a->overrides, "constants: beta=2000 loss_type=ipo; of own samples guidance_scale=5 eta=1 too (the defaults)")
      ->type_name("KEY=VALUE");
  app.callback([a] { step(*a); });
}

}  // namespace palate
