#include "palate/diffusion/sampler.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/diffusion/samplers.h"
#include "palate/nn/adaptable.h"

namespace palate {
namespace {

constexpr const char* dpm_class = "DPMSolverMultistepScheduler";
// The spacings of noise levels exclude each other, so a name that says one says that the others are off.
constexpr const char* dpm_options[] = {
    R"({"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": false, )"
    R"("use_exponential_sigmas": false, "use_lu_lambdas": false})",
    R"({"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "use_karras_sigmas": false, )"
    R"("use_exponential_sigmas": false, "use_lu_lambdas": false})",
    R"({"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": true, )"
    R"("use_exponential_sigmas": false, "use_lu_lambdas": false})",
    R"({"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "use_karras_sigmas": true, )"
    R"("use_exponential_sigmas": false, "use_lu_lambdas": false})",
};

struct Entry {
  const char* name;
  const char* class_name;  // diffusers'
  std::unique_ptr<Sampler> (*make)(const Json&);
  const char* says = "{}";  // the options that the name sets
};
constexpr Entry entries[] = {
    {"ddpm", "DDPMScheduler", make_ddpm},
    {"ddim", "DDIMScheduler", make_ddim},
    {"euler", "EulerDiscreteScheduler", make_euler},
    {"pndm", "PNDMScheduler", make_pndm},
    {"euler_a", "EulerAncestralDiscreteScheduler", make_euler_ancestral},
    {"heun", "HeunDiscreteScheduler", make_heun},
    {"dpm++_2m", dpm_class, make_dpm_solver, dpm_options[0]},
    {"dpm++_2m_sde", dpm_class, make_dpm_solver, dpm_options[1]},
    {"dpm++_2m_karras", dpm_class, make_dpm_solver, dpm_options[2]},
    {"dpm++_2m_sde_karras", dpm_class, make_dpm_solver, dpm_options[3]},
    {"unipc", "UniPCMultistepScheduler", make_unipc},
    {"lcm", "LCMScheduler", make_lcm},
};

// Lin et al., 2023, section 3.4: guided predictions brought part of the way back to the conditional one's spread.
Tensor rescaled(const Tensor& guided, const Tensor& conditional, double share) {
  const std::vector<int64_t> but_batch = [&] {
    std::vector<int64_t> axes;
    for (int64_t axis = 1; axis < guided.dim(); ++axis) axes.push_back(axis);
    return axes;
  }();
  const Tensor wanted = conditional.std(at::OptionalIntArrayRef(but_batch), std::optional<at::Scalar>(1), true);
  const Tensor found = guided.std(at::OptionalIntArrayRef(but_batch), std::optional<at::Scalar>(1), true);
  return share * (guided * (wanted / found)) + (1 - share) * guided;
}

// What a step evaluates the network on.
struct Prompts {
  Condition one;   // without guidance, and for the adapted model of reward guidance
  Condition both;  // [negative, positive], or [negative, base]
};

Tensor predict_both(Denoiser& denoiser, const Tensor& input, const Tensor& t, const Prompts& prompts) {
  return denoiser.predict(torch::cat({input, input}), t.expand({2 * input.size(0)}), prompts.both).to(torch::kFloat32);
}

Tensor predict(Denoiser& denoiser, const Tensor& input, const Tensor& t, const Prompts& prompts, const SampleOptions& options) {
  const auto alone = [&] { return denoiser.predict(input, t.expand({input.size(0)}), prompts.one).to(torch::kFloat32); };
  const bool reward = options.reward_weight.has_value();
  if (!reward && options.guidance_scale <= 1) return alone();
  Tensor both;
  {
    std::optional<AdaptersOff> off;
    if (reward) off.emplace();
    both = predict_both(denoiser, input, t, prompts);
  }
  const Tensor unconditional = both.narrow(0, 0, input.size(0)), conditional = both.narrow(0, input.size(0), input.size(0));
  Tensor guided = unconditional + options.guidance_scale * (conditional - unconditional);
  if (reward) guided = guided + *options.reward_weight * (alone() - conditional);
  return options.guidance_rescale > 0 ? rescaled(guided, conditional, options.guidance_rescale) : guided;
}

// Checked, and put together for one call of the network a step.
Prompts prompts_for(const Condition& positive, const Condition& negative, const SampleOptions& options) {
  const bool reward = options.reward_weight.has_value(), guided = reward || options.guidance_scale > 1;
  check<UsageError>(!guided || !negative.empty(), "sampling: guidance needs the text states of the negative prompt");
  check<UsageError>(!reward || !options.base.empty(), "sampling: reward guidance needs the text states of the base prompt");
  return {positive, guided ? Condition::cat({negative, reward ? options.base : positive}) : Condition()};
}

// What the network is given of x before step `index`: scaled, with the options' extra channels behind.
Tensor network_input(const Sampler& sampler, const Tensor& x, int64_t index, const SampleOptions& options) {
  const Tensor scaled = sampler.scale_model_input(x, index);
  if (!options.extra.defined()) return scaled;
  std::vector<int64_t> rows(static_cast<size_t>(options.extra.dim()), -1);
  rows[0] = x.size(0);
  return torch::cat({scaled, options.extra.to(x.device(), torch::kFloat32).expand(rows)}, 1);
}

Tensor step_noise(const Sampler& sampler, const SampleOptions& options, int64_t batch, int64_t step) {
  if (!sampler.stochastic()) return {};
  check<UsageError>(bool(options.noise), "sampling: this sampler adds noise at each step, but no source of noise was given");
  std::vector<Tensor> rows;
  for (int64_t sample = 0; sample < batch; ++sample) rows.push_back(options.noise(sample, step));
  return torch::cat(rows);
}

}  // namespace

std::optional<Transition> Sampler::transition(const Tensor&, int64_t, const Tensor&) const { return std::nullopt; }

std::unique_ptr<Sampler> make_sampler(const std::string& name, const Json& scheduler_config) {
  const bool own = name.empty();
  std::string wanted = name;
  if (own) {
    const bool named =
        scheduler_config.is_object() && scheduler_config.contains("_class_name") && scheduler_config["_class_name"].is_string();
    check<FormatError>(named, "scheduler_config.json: _class_name is missing: name a sampler (", one_of(sampler_names()), ")");
    wanted = scheduler_config["_class_name"].get<std::string>();
  }
  for (const auto& entry : entries) {
    if (wanted == entry.class_name) return entry.make(scheduler_config);
    if (own || wanted != entry.name) continue;
    Json config = scheduler_config;
    if (config.is_object()) config.update(Json::parse(entry.says));
    return entry.make(config);
  }
  if (own) fail<UsageError>("the model's own scheduler ", wanted, " is not supported: name a sampler (", one_of(sampler_names()), ")");
  fail<UsageError>("no sampler is called '", name, "'", did_you_mean(name, sampler_names()), ": expected ", one_of(sampler_names()),
                   ", or the name of diffusers' class");
}

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.emplace_back(entry.name);
  return names;
}

Tensor guided_prediction(Denoiser& denoiser, const Sampler& sampler, const Tensor& x, int64_t index, const Condition& positive,
                         const Condition& negative, const SampleOptions& options) {
  const Tensor t = sampler.timesteps().narrow(0, index, 1).to(x.device());
  return predict(denoiser, network_input(sampler, x, index, options), t, prompts_for(positive, negative, options), options);
}

Tensor sample_latents(Denoiser& denoiser, Sampler& sampler, const Tensor& starting_noise, const Condition& positive,
                      const Condition& negative, const SampleOptions& options) {
  const torch::NoGradGuard no_grad;
  check(sampler.timesteps().defined(), "sampling: set_timesteps comes first");
  const Prompts prompts = prompts_for(positive, negative, options);
  const auto device = positive["encoder_hidden_states"].device();
  const Tensor steps = sampler.timesteps().to(device), start = starting_noise.to(device, torch::kFloat32);
  const Tensor clean = options.clean.defined() ? options.clean.to(device, torch::kFloat32) : Tensor(),
               mask = options.mask.defined() ? options.mask.to(device, torch::kFloat32) : Tensor();
  check<UsageError>(!mask.defined() || clean.defined(), "sampling: a mask needs the latents of the picture that it keeps");
  const bool from_noise = !clean.defined() || (mask.defined() && options.begin == 0);
  Tensor x = from_noise ? start * sampler.init_noise_sigma() : sampler.add_noise(clean, start, options.begin);
  for (int64_t i = options.begin; i < steps.size(0); ++i) {
    const Tensor predicted = predict(denoiser, network_input(sampler, x, i, options), steps.narrow(0, i, 1), prompts, options);
    const Tensor next = sampler.step(predicted, i, x, step_noise(sampler, options, x.size(0), i));
    if (options.on_transition) options.on_transition(i, x, predicted, next);
    x = next;
    if (mask.defined()) x = (1 - mask) * (i + 1 < steps.size(0) ? sampler.add_noise(clean, start, i + 1) : clean) + mask * x;
    if (options.on_step) options.on_step(i);
  }
  return x;
}

}  // namespace palate
