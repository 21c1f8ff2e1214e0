"""Goldens of whole sampling loops from diffusers: diffusion_samplers.safetensors, and diffusion_samplers.json with the cases.

Each case runs a scheduler over a network of one line on `start` [1, 2, 2, 2], or from `clean` noised at a later index
(as the image-to-image pipelines do), with `noise` [24, 1, 2, 2, 2] for the stochastic ones. A case's rows, in the order of the
cases: `timesteps` [rows] and `samples` [rows, 1, 2, 2, 2], after each step; `noised` [cases, 1, 2, 2, 2] is what it began from.
"""
import itertools
import json

import diffusers
import torch
from diffusers.schedulers import scheduling_ddpm, scheduling_euler_ancestral_discrete, scheduling_lcm

from golden_file import HERE, draw, under_settings, write

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SPACINGS = ("leading", "linspace", "trailing")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
ANCESTRAL, HEUN, DPM, UNIPC, LCM = (
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "LCMScheduler")
OLD = ("DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler")

torch.manual_seed(7)
start, clean, wave = draw(3, 1, 2, 2, 2)
noise = draw(24, 1, 2, 2, 2)
samples, timesteps, noised, sigmas, cases = [], [], [], [], []


def network(x, t):
    return 0.6 * x + wave * (0.2 + t.to(torch.float32) / 1000)


def run(scheduler, config, steps=8, begin=0, name=""):
    """`begin` counts steps as set_timesteps does; `config` and `name` are what Palate is given."""
    scheduler.set_timesteps(steps)
    first = begin * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    told = scheduler.timesteps[first:]
    x = scheduler.add_noise(clean, noise[-1], told[:1]) if begin else start * scheduler.init_noise_sigma
    noised.append(x)
    for i, t in enumerate(told, first):
        for module in (scheduling_ddpm, scheduling_euler_ancestral_discrete, scheduling_lcm):
            module.randn_tensor = lambda *a, i=i, **k: noise[i]
        extra = {"variance_noise": noise[i]} if isinstance(scheduler, diffusers.DPMSolverMultistepScheduler) else {}
        x = scheduler.step(network(scheduler.scale_model_input(x, t), t), t, x, **extra).prev_sample
        samples.append(x)
        timesteps.append(t.to(torch.float64))
    assert x.isfinite().all(), (config, steps, begin)
    sigmas.append(scheduler.init_noise_sigma)
    case = {"name": name, "count": steps, "rows": len(told), "whole": not told.is_floating_point(), "config": config}
    cases.append({**case, "begin": first} if begin else case)


def own(name, steps=8, begin=0, **config):
    run(getattr(diffusers, name)(**config), {"_class_name": name, **config}, steps, begin)


def every_spacing_and_prediction():
    for name, spacing, prediction in itertools.product((ANCESTRAL, HEUN, DPM, UNIPC), SPACINGS, PREDICTIONS):
        if name != ANCESTRAL or prediction != "sample":
            offset = {"steps_offset": 1} if spacing == "leading" else {}
            own(name, timestep_spacing=spacing, prediction_type=prediction, **offset, **SD)
    for prediction, clip in itertools.product(PREDICTIONS, (False, True)):
        own(LCM, 4, prediction_type=prediction, clip_sample=clip, **SD)
    for name in (ANCESTRAL, HEUN, DPM, UNIPC, LCM):  # what the classes do when the config says nothing
        own(name, 5)
        own(name, 1)
        own(name, 6, beta_schedule="squaredcos_cap_v2")
        own(name, 6, num_train_timesteps=50)
    for name, spacing in itertools.product((ANCESTRAL, DPM, UNIPC, LCM), SPACINGS):
        own(name, 6, timestep_spacing=spacing, prediction_type="v_prediction", rescale_betas_zero_snr=True, **SD)


def options():
    own(ANCESTRAL, 1, timestep_spacing="trailing", steps_offset=1, **SD)  # sd-turbo, sdxl-turbo
    own(ANCESTRAL, 4, timestep_spacing="trailing", steps_offset=1, **SD)
    for which in ("use_karras_sigmas", "use_exponential_sigmas"):
        for name in (HEUN, DPM, UNIPC):
            own(name, 10, **{which: True}, **SD)
            own(name, 6, **{which: True}, prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    own(HEUN, 6, clip_sample=True, clip_sample_range=1.5, **SD)
    own(HEUN, 6, clip_sample=True, use_karras_sigmas=True, timestep_spacing="trailing", **SD)
    own(LCM, 4, original_inference_steps=100, timestep_scaling=3.0, **SD)
    own(LCM, 7, original_inference_steps=20, **SD)
    own(LCM, 3, clip_sample=True, clip_sample_range=0.5, set_alpha_to_one=False, **SD)


def dpm_solvers():
    for algorithm, solver, order in itertools.product(("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"), ("midpoint", "heun"), (1, 2, 3)):
        if algorithm == "sde-dpmsolver" and order == 3:
            continue
        last = {} if algorithm.endswith("++") else {"final_sigmas_type": "sigma_min"}
        for prediction in PREDICTIONS if solver == "midpoint" and order == 2 else ("epsilon",):
            own(DPM, algorithm_type=algorithm, solver_type=solver, solver_order=order, prediction_type=prediction, **last, **SD)
    for final, euler, lower in itertools.product(("zero", "sigma_min"), (True, False), (True, False)):
        own(DPM, solver_order=3, final_sigmas_type=final, euler_at_final=euler, lower_order_final=lower, **SD)
    for order in (2, 3):  # 15 steps or more: no lower orders
        own(DPM, 16, solver_order=order, final_sigmas_type="sigma_min", **SD)
    own(DPM, use_lu_lambdas=True, **SD)
    own(DPM, use_lu_lambdas=True, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    for spacing in SPACINGS:
        own(DPM, lambda_min_clipped=-5.1, timestep_spacing=spacing, beta_schedule="squaredcos_cap_v2")
    own(DPM, solver_type="bh2", algorithm_type="deis", final_sigmas_type="sigma_min", **SD)


def unipc_solvers():
    for solver, order, x0 in itertools.product(("bh1", "bh2"), (1, 2, 3), (True, False)):
        for prediction in PREDICTIONS if order == 2 and solver == "bh2" else ("epsilon",):
            own(UNIPC, solver_type=solver, solver_order=order, predict_x0=x0, prediction_type=prediction, final_sigmas_type="sigma_min", **SD)
    own(UNIPC, solver_order=3, disable_corrector=[0, 1, 4], **SD)
    own(UNIPC, solver_order=3, lower_order_final=False, final_sigmas_type="sigma_min", **SD)
    own(UNIPC, use_karras_sigmas=True, final_sigmas_type="sigma_min", solver_type="midpoint", **SD)
    own(UNIPC, use_karras_sigmas=True, sigma_min=0.1, sigma_max=9.0, **SD)
    own(UNIPC, 10, solver_order=4, **SD)


def late_starts():
    for name in (*OLD, ANCESTRAL, HEUN, DPM, UNIPC, LCM):
        prk = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
        for spacing, begin in itertools.product(SPACINGS, (1, 3)):
            own(name, 8, begin, timestep_spacing=spacing, **prk, **SD)
    for config in ({"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}, {"solver_order": 3}):
        own(DPM, 8, 2, **config, **SD)
    own(UNIPC, 8, 2, solver_order=3, use_karras_sigmas=True, **SD)
    own(HEUN, 8, 5, use_karras_sigmas=True, **SD)


def runge_kutta():
    for spacing, prediction, steps in itertools.product(SPACINGS, ("epsilon", "v_prediction"), (4, 7, 11)):
        own("PNDMScheduler", steps, timestep_spacing=spacing, prediction_type=prediction, skip_prk_steps=False, **SD)


def names():
    """A sampler by name on the folders of SD1.5, SDXL and a karras Euler: Class.from_config(pipe.scheduler.config, ...)."""
    folders = (
        {"_class_name": "PNDMScheduler", "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
         "trained_betas": None, "clip_sample": False, **SD},
        {"_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0,
         "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "use_karras_sigmas": False, **SD},
        {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 12.0, "steps_offset": 1,
         "timestep_spacing": "trailing", "prediction_type": "v_prediction", **SD},
    )
    plus = {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": False}
    sde = {**plus, "algorithm_type": "sde-dpmsolver++"}
    karras = {"use_karras_sigmas": True}
    known = {"euler_a": (ANCESTRAL, {}), "heun": (HEUN, {}), "dpm++_2m": (DPM, plus), "dpm++_2m_sde": (DPM, sde), "dpm++_2m_karras": (DPM, plus | karras),
             "dpm++_2m_sde_karras": (DPM, sde | karras), "unipc": (UNIPC, {}), "lcm": (LCM, {}), DPM: (DPM, {}), ANCESTRAL: (ANCESTRAL, {})}
    for folder, (name, (kind, says)) in itertools.product(folders, known.items()):
        loaded = getattr(diffusers, folder["_class_name"]).from_config(folder)
        run(getattr(diffusers, kind).from_config(loaded.config, **says), folder, 6, name=name)


def compute():
    for make in (every_spacing_and_prediction, options, dpm_solvers, unipc_solvers, late_starts, names, runge_kutta):
        make()
    return {"start": start, "clean": clean, "wave": wave, "noise": noise, "samples": torch.stack(samples), "timesteps": torch.stack(timesteps),
            "noised": torch.stack(noised), "sigmas": torch.tensor(sigmas)}


def main():
    values, others = under_settings(compute)
    write("diffusion_samplers.safetensors", values, others, by_row=lambda key: key in ("samples", "noised"))
    HERE.joinpath("diffusion_samplers.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases,", len(samples), "steps")


if __name__ == "__main__":
    main()
