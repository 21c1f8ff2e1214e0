#!/usr/bin/env python3
"""Goldens of DPO-C&M and SDPO (docs/objectives.md, section 3) on the tiny model of make_lora.py and the batch of make_objective.py.

The importance weights are not taken from a formula in omega but from what they mean: the log densities of two Gaussians at a point, whose means
and variance are those of the DDPM paper's posterior (2006.11239, equations 6 and 7, for a step of more than one timestep).

Writes importance_batch.safetensors (the file that `palate step --in` takes) and importance_expected.safetensors.
Needs: pip install torch diffusers peft safetensors
"""
import math

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from safetensors.torch import save_file

from golden_file import in_both, write
from make_lora import HERE, MODEL, load_as_pipelines_do
from make_objective import batch

K = 10  # beta / 2
CASES = {  # where the weight stands, importance, ratio, threshold, quantile, clip
    "outside": ("outside", "expected", "posterior", 0.5, 0, 0.3),
    "inside": ("inside", "expected", "posterior", 0.5, 0, 0.3),
    "sampled": ("inside", "sampled", "posterior", 0.3, 0, 0.2),
    "reference": ("outside", "sampled", "reference", 0, 0, 0.01),
    "quantile": ("inside", "expected", "reference", 0, 0.4, 0.01),
}


def given() -> dict:
    g = torch.Generator().manual_seed(14)
    chosen = {key: value for key, value in batch().items() if key != "preference"}
    return dict(chosen, timesteps=torch.tensor([60, 420, 977]), previous_timesteps=torch.tensor([40, 400, 900]),
                step_noise=torch.randn(3, 4, 8, 8, generator=g))


def clean(scheduler, prediction, x, t):
    """x0 from a prediction."""
    a = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    if scheduler.config.prediction_type == "v_prediction":
        return a.sqrt() * x - (1 - a).sqrt() * prediction
    return (x - (1 - a).sqrt() * prediction) / a.sqrt()


def log_density(scheduler, point, x0, x, t, s):
    """log q(x_s = point | x_t = x, x0), a mean over dimensions, and its mean and variance."""
    at, above = (scheduler.alphas_cumprod[i].view(-1, 1, 1, 1) for i in (t, s))
    beta = 1 - at / above
    mean = above.sqrt() * beta / (1 - at) * x0 + (at / above).sqrt() * (1 - above) / (1 - at) * x
    variance = (1 - above) / (1 - at) * beta
    if point is None:
        return mean, variance
    return (-0.5 * (point - mean) ** 2 / variance - 0.5 * torch.log(2 * math.pi * variance)).mean((1, 2, 3))


def picture(unet, scheduler, b, latents):
    """d of one view, and log w expected and sampled."""
    t, s = b["timesteps"], b["previous_timesteps"]
    x = scheduler.add_noise(latents, b["noise"], t)
    prediction = unet(x, t, b["encoder_hidden_states"]).sample
    target = scheduler.get_velocity(latents, b["noise"], t) if scheduler.config.prediction_type == "v_prediction" else b["noise"]
    d = F.mse_loss(prediction, target, reduction="none").mean((1, 2, 3))
    with torch.no_grad():
        estimate = clean(scheduler, prediction, x, t)
        mean, variance = log_density(scheduler, None, latents, x, t, s)
        other, _ = log_density(scheduler, None, estimate, x, t, s)
        point = mean + variance.sqrt() * b["step_noise"]
        sampled = log_density(scheduler, point, estimate, x, t, s) - log_density(scheduler, point, latents, x, t, s)
        expected = -((mean - other) ** 2 / (2 * variance)).mean((1, 2, 3))
    return d, dict(expected=expected, sampled=sampled)


def loss_of(case, policy, reference):
    place, importance, ratio, threshold, quantile, clip = CASES[case]
    weights = [(p[1][importance] - (r[1][importance] if ratio == "reference" else 0)).exp() for p, r in zip(policy, reference)]
    least = torch.minimum(*weights)
    mask = (least >= (torch.quantile(least, quantile) if quantile > 0 else threshold)).to(least.dtype)
    used = [w.clip(1 - clip, 1 + clip) for w in weights]
    moved = [p[0] - r[0] for p, r in zip(policy, reference)]
    if place == "inside":
        z = -K * (used[0] * moved[0] - used[1] * moved[1])
        losses = mask * -F.logsigmoid(z)
    else:
        z = -K * (moved[0] - moved[1])
        losses = mask * torch.minimum(*used) * -F.logsigmoid(z)
    return dict(logits=z, losses=losses, loss=losses.sum() / max(1, mask.sum()), weight_win=used[0], weight_lose=used[1], mask=mask)


def expected() -> dict:
    dtype, out = torch.get_default_dtype(), {}
    b = {key: value.to(dtype) if value.is_floating_point() else value for key, value in GIVEN.items()}
    for prediction in ("epsilon", "v_prediction"):
        scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler", prediction_type=prediction)
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors").to(dtype)
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        views = (b["latents_win"], b["latents_lose"])
        policy = [picture(unet, scheduler, b, latents) for latents in views]
        with torch.no_grad():
            unet.disable_adapters()
            reference = [picture(unet, scheduler, b, latents) for latents in views]
            unet.enable_adapters()
        for case in CASES:
            values = loss_of(case, policy, reference)
            out.update({f"{prediction}.{case}.{name}": value.detach() for name, value in values.items()})
            if case in ("outside", "inside") and prediction == "epsilon" or case == "sampled":
                unet.zero_grad()
                values["loss"].backward(retain_graph=True)
                for key, parameter in unet.named_parameters():
                    if "lora_" in key:
                        out[f"{prediction}.{case}.grad.unet.{key.replace('.default_0.', '.')}"] = parameter.grad.clone()
    return out


GIVEN = given()

if __name__ == "__main__":
    save_file(GIVEN, HERE / "importance_batch.safetensors")
    write("importance_expected.safetensors", *in_both(expected))
