#!/usr/bin/env python3
"""Objective goldens: DPO and its relatives written out with diffusers + peft on the tiny model of make_lora.py (run that first).

Values are float64's; each is stored with the error of diffusers' own float32 (golden_file.py): up to 1.2e-5 in single gradients,
those of to_q and to_k, where large terms cancel.

Writes objective_batch.safetensors (the file that `palate step --in` takes) and objective_expected.safetensors:
  CASE.loss, CASE.losses, CASE.logits, policy_win, ..., and for two cases every gradient.
Needs: pip install torch diffusers peft safetensors
"""
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from safetensors.torch import save_file

from golden_file import in_both, write
from make_lora import HERE, MODEL, base, load_as_pipelines_do


def batch() -> dict:
    g = torch.Generator().manual_seed(13)
    return dict(latents_win=torch.randn(3, 4, 8, 8, generator=g), latents_lose=torch.randn(3, 4, 8, 8, generator=g),
                noise=torch.randn(3, 4, 8, 8, generator=g), timesteps=torch.tensor([3, 420, 977]),
                encoder_hidden_states=torch.randn(3, 5, 12, generator=g), preference=torch.tensor([1.0, 0.5, 0.8]))


def errors(unet, scheduler, b) -> tuple:
    """d = mean over C, h, w of (target - prediction)^2, winner and loser at the same t and noise."""
    out = []
    for latents in (b["latents_win"], b["latents_lose"]):
        noisy = scheduler.add_noise(latents, b["noise"], b["timesteps"])
        prediction = unet(noisy, b["timesteps"], b["encoder_hidden_states"]).sample
        v = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(latents, b["noise"], b["timesteps"]) if v else b["noise"]
        out.append(F.mse_loss(prediction, target, reduction="none").mean((1, 2, 3)))
    return out


def dpo(kind, k, smoothing, p, pw, pl, rw, rl):
    """z = k ((rw - rl) - (pw - pl)); docs/objectives.md, sections 1 and 7.4; soft labels as expectation over both orders."""
    margin = (rw - rl) - (pw - pl)
    side = {"sigmoid": lambda m: -F.logsigmoid(k * m), "hinge": lambda m: torch.relu(1 - k * m), "ipo": lambda m: (m - 1 / (2 * k)) ** 2}[kind]
    p = p * (1 - smoothing) + (1 - p) * smoothing
    return p * side(margin) + (1 - p) * side(-margin), k * margin


def expected() -> dict:
    dtype, out = torch.get_default_dtype(), {}
    b = {k: v.to(dtype) if v.is_floating_point() else v for k, v in GIVEN.items()}
    for prediction in ("epsilon", "v_prediction"):
        scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler", prediction_type=prediction)
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors").to(dtype)
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        pw, pl = errors(unet, scheduler, b)
        with torch.no_grad():
            unet.disable_adapters()
            rw, rl = errors(unet, scheduler, b)
            unet.enable_adapters()
        for name, tensor in dict(policy_win=pw, policy_lose=pl, reference_win=rw, reference_lose=rl).items():
            out[f"{prediction}.{name}"] = tensor.detach()
        cases = dict(sigmoid=("sigmoid", 10, 0), hinge=("hinge", 10, 0), ipo=("ipo", 10, 0), smooth=("sigmoid", 10, 0.1), strong=("sigmoid", 50, 0))
        for name, (kind, k, smoothing) in cases.items():
            losses, logits = dpo(kind, k, smoothing, b["preference"] if name == "smooth" else torch.ones(3), pw, pl, rw, rl)
            case = f"{prediction}.{name}"
            out[case + ".losses"], out[case + ".logits"], out[case + ".loss"] = losses.detach(), logits.detach(), losses.mean().detach()
            if name == "sigmoid":
                unet.zero_grad()
                losses.mean().backward(retain_graph=True)
                for key, parameter in unet.named_parameters():
                    if "lora_" in key:
                        out[f"{case}.grad.unet.{key.replace('.default_0.', '.')}"] = parameter.grad.clone()
    # sft of the whole network, without adapters.
    scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler")
    unet = base().requires_grad_(True).to(dtype)
    losses = errors(unet, scheduler, b)[0]
    losses.mean().backward()
    out["sft.losses"] = losses.detach()
    for key, parameter in unet.named_parameters():
        out["sft.grad." + key] = parameter.grad.clone()
    return out


GIVEN = batch()

if __name__ == "__main__":
    save_file(GIVEN, HERE / "objective_batch.safetensors")
    write("objective_expected.safetensors", *in_both(expected))
