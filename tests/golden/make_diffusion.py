"""Goldens of schedules and samplers from diffusers: diffusion.safetensors, and diffusion.json with the configs.

Each case runs a scheduler over a few steps on predictions and noise that do not depend on the case: `predicted`, `noise`
[6, 2, 2, 2, 2] and `start` [2, 2, 2, 2]. Written for case k: k.timesteps, k.scaled (the scaled input of each step),
k.steps (the sample after each step); in the JSON its config. `sigmas` [cases]: init_noise_sigma of each.
"""
import itertools
import json

import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.schedulers import scheduling_ddpm

from golden_file import HERE, draw, under_settings, write

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SPACINGS = ("leading", "linspace", "trailing")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
CLASSES = {"DDPMScheduler": DDPMScheduler, "DDIMScheduler": DDIMScheduler, "EulerDiscreteScheduler": EulerDiscreteScheduler, "PNDMScheduler": PNDMScheduler}

torch.manual_seed(3)
predicted, noise = draw(6, 2, 2, 2, 2), draw(6, 2, 2, 2, 2)
start = draw(2, 2, 2, 2)
tensors = {"predicted": predicted, "noise": noise, "start": start}
cases, sigmas = [], []


def run(name, steps, eta=0.0, **config):
    scheduler = CLASSES[name](**config)
    scheduler.set_timesteps(steps)
    x = start * scheduler.init_noise_sigma
    scaled, after = [], []
    for i, t in enumerate(scheduler.timesteps):
        scaled.append(scheduler.scale_model_input(x, t))
        extra = {}
        if name == "DDPMScheduler":
            scheduling_ddpm.randn_tensor = lambda *a, i=i, **k: noise[i]
        elif name == "DDIMScheduler" and eta > 0:
            extra = {"eta": eta, "variance_noise": noise[i]}
        x = scheduler.step(predicted[i], t, x, **extra).prev_sample
        after.append(x)
    assert torch.stack(after).isfinite().all(), (name, steps, config)
    k = f"{len(cases):03d}"
    tensors[f"{k}.timesteps"] = scheduler.timesteps
    if name == "EulerDiscreteScheduler":
        tensors[f"{k}.scaled"] = torch.stack(scaled)
    tensors[f"{k}.steps"] = torch.stack(after)
    written = {"_class_name": name, **config, **({"eta": eta} if eta else {})}
    sigmas.append(scheduler.init_noise_sigma)
    cases.append({"key": k, "count": steps, "config": written})


def sampler_cases():
    for spacing, prediction, variance, clip in itertools.product(SPACINGS, PREDICTIONS, ("fixed_small", "fixed_small_log", "fixed_large"), (True, False)):
        run("DDPMScheduler", 4, timestep_spacing=spacing, prediction_type=prediction, variance_type=variance, clip_sample=clip, **SD)
    for spacing, prediction, to_one, clip, eta in itertools.product(SPACINGS, PREDICTIONS, (True, False), (True, False), (0.0, 0.6)):
        run("DDIMScheduler", 4, eta, timestep_spacing=spacing, prediction_type=prediction, set_alpha_to_one=to_one, clip_sample=clip, **SD)
    sigmas = ({}, {"interpolation_type": "log_linear"}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True})
    for spacing, prediction, which, final in itertools.product(SPACINGS, PREDICTIONS, sigmas, ("zero", "sigma_min")):
        run("EulerDiscreteScheduler", 4, timestep_spacing=spacing, prediction_type=prediction, final_sigmas_type=final, **which, **SD)
    for spacing, prediction, count in itertools.product(SPACINGS, PREDICTIONS[:2], (2, 5)):
        if spacing == "leading" or count != 2:  # elsewhere the correcting step would start past the schedule's end
            offset = {"steps_offset": 1} if spacing == "leading" else {}
            run("PNDMScheduler", count, timestep_spacing=spacing, prediction_type=prediction, skip_prk_steps=True, **offset, **SD)
    for name, spacing in itertools.product(("DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"), SPACINGS):
        clip = {} if name == "EulerDiscreteScheduler" else {"clip_sample_range": 1.5}
        run(name, 5, timestep_spacing=spacing, prediction_type="v_prediction", rescale_betas_zero_snr=True, **clip, **SD)
        for schedule in ("linear", "squaredcos_cap_v2"):
            run(name, 3, timestep_spacing=spacing, beta_schedule=schedule)
        run(name, 6, timestep_spacing=spacing, num_train_timesteps=50, **SD)
    for name in CLASSES:  # what the classes do when the config says nothing
        run(name, 3, **({"skip_prk_steps": True} if name == "PNDMScheduler" else {}))
    run("DDIMScheduler", 6, steps_offset=1, set_alpha_to_one=False, clip_sample=False, **SD)  # sd15 as DDIM
    run("EulerDiscreteScheduler", 6, steps_offset=1, timestep_spacing="leading", **SD)  # sdxl
    run("EulerDiscreteScheduler", 4, use_karras_sigmas=True, sigma_min=0.1, sigma_max=9.0, **SD)
    run("EulerDiscreteScheduler", 4, timestep_type="continuous", prediction_type="v_prediction", **SD)
    run("DDIMScheduler", 3, num_train_timesteps=7, trained_betas=[0.01, 0.02, 0.03, 0.05, 0.08, 0.13, 0.21], clip_sample=False)


def timestep_tables():
    for spacing in SPACINGS:
        rows = []
        for count in [*range(1, 65), 100, 250, 1000]:
            scheduler = DDIMScheduler(timestep_spacing=spacing)
            scheduler.set_timesteps(count)
            if len(scheduler.timesteps) != count:
                print(spacing, count, "steps became", len(scheduler.timesteps), scheduler.timesteps[-1])
            rows.append(scheduler.timesteps[:count])
        tensors[f"table.{spacing}"] = torch.cat(rows).to(torch.int32)


def schedule_cases():
    t = torch.tensor([0, 1, 417, 998, 999, 300])
    x0, eps = draw(6, 2, 2, 2), draw(6, 2, 2, 2)
    tensors.update({"schedule.t": t, "schedule.x0": x0, "schedule.noise": eps})
    for schedule, zero in itertools.product(("linear", "scaled_linear", "squaredcos_cap_v2"), (False, True)):
        scheduler = DDPMScheduler(beta_schedule=schedule, rescale_betas_zero_snr=zero)
        key = f"schedule.{schedule}.{'zero' if zero else 'plain'}"
        tensors[key + ".alphas_cumprod"] = scheduler.alphas_cumprod
        tensors[key + ".betas"] = scheduler.betas
        tensors[key + ".x_t"] = scheduler.add_noise(x0, eps, t)
        tensors[key + ".v"] = scheduler.get_velocity(x0, eps, t)


def guided_case():
    """The loop of StableDiffusionPipeline around a made-up network: predict = 0.3 x + mean of the text + t / 10000."""
    text, empty = draw(2, 3, 4), draw(2, 3, 4)
    tensors.update({"guided.text": text, "guided.empty": empty})
    condition = torch.cat([empty, text]).mean(dim=(1, 2)).view(4, 1, 1, 1)
    wave = torch.linspace(-1, 1, 16).view(1, 2, 2, 4)
    begin = draw(2, 2, 2, 4)
    tensors.update({"guided.start": begin, "guided.wave": wave})
    for scale, rescale in ((1.0, 0.0), (7.5, 0.0), (7.5, 0.7)):
        scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **SD)
        scheduler.set_timesteps(5)
        x = begin
        for t in scheduler.timesteps:
            out = 0.3 * torch.cat([x, x]) + condition * wave + t / 10000
            unconditional, conditional = out.chunk(2)
            guided = unconditional + scale * (conditional - unconditional) if scale > 1 else conditional
            if rescale > 0:
                guided = rescale_noise_cfg(guided, conditional, rescale)
            x = scheduler.step(guided, t, x).prev_sample
        tensors[f"guided.{scale}.{rescale}"] = x


def compute():
    sampler_cases()
    tensors["sigmas"] = torch.tensor(sigmas)
    timestep_tables()
    schedule_cases()
    guided_case()
    return tensors


def main():
    values, others = under_settings(compute)
    write("diffusion.safetensors", values, others, by_row=lambda key: key.endswith((".steps", ".scaled")))
    HERE.joinpath("diffusion.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
