#!/usr/bin/env python3
"""Objective goldens: DPO and its relatives written out with diffusers + peft on the tiny model of make_lora.py (run that first).

Values are float64's; each is stored with the error of diffusers' own float32 (golden_file.py): up to 1.2e-5 in single gradients,
those of to_q and to_k, where large terms cancel.

Writes objective_batch.safetensors (the file that `palate step --in` takes) and objective_expected.safetensors:
  CASE.loss, CASE.losses, CASE.logits, policy_win, ..., and for some cases every gradient.
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


def residuals(unet, scheduler, b) -> list:
    """prediction - target, of winner and loser at the same t and noise."""
    out = []
    for latents in (b["latents_win"], b["latents_lose"]):
        noisy = scheduler.add_noise(latents, b["noise"], b["timesteps"])
        v = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(latents, b["noise"], b["timesteps"]) if v else b["noise"]
        out.append(unet(noisy, b["timesteps"], b["encoder_hidden_states"]).sample - target)
    return out


def inverted(unet, scheduler, b, latents, steps=10, eta=0.1) -> tuple:
    """Section 9: DDIM inversion to each row's own t, as JaydenLyh/InPO with diffusers' DDIMInverseScheduler that starts at the clean picture; the
    noise that leads from the picture to there. The random term is b["noise"] at each node."""
    abar, x = scheduler.alphas_cumprod, latents
    for node in range(0, 1000, 1000 // steps):
        before = abar[node - 1000 // steps] if node > 0 else torch.ones_like(abar[0])
        predicted = unet(x, torch.full_like(b["timesteps"], node), b["encoder_hidden_states"]).sample
        if scheduler.config.prediction_type == "v_prediction":
            clean, noise = before.sqrt() * x - (1 - before).sqrt() * predicted, before.sqrt() * predicted + (1 - before).sqrt() * x
        else:
            clean, noise = (x - (1 - before).sqrt() * predicted) / before.sqrt(), predicted
        next = abar[min(node + 1000 // steps, 999)]
        std = ((1 - abar[node]) / (1 - next) * (1 - next / abar[node])).sqrt()
        there = abar[node].sqrt() * clean + (1 - abar[node]).sqrt() * noise + eta * std * b["noise"]
        x = torch.where((b["timesteps"] > node)[:, None, None, None], there, x)
    kept = abar[b["timesteps"]][:, None, None, None]
    return x, (x - kept.sqrt() * latents) / (1 - kept).sqrt()


def inverted_residuals(unet, scheduler, b, made) -> list:
    out = []
    for latents, (x, noise) in zip((b["latents_win"], b["latents_lose"]), made, strict=True):
        v = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(latents, noise, b["timesteps"]) if v else noise
        out.append(unet(x, b["timesteps"], b["encoder_hidden_states"]).sample - target)
    return out


def errors(residuals) -> list:
    """d = mean over C, h, w of (target - prediction)^2."""
    return [residual.square().mean((1, 2, 3)) for residual in residuals]


def dpo(kind, k, smoothing, p, pw, pl, rw, rl, gamma=0, anchor=0):
    """z = k ((rw - rl) - (pw - pl)) - gamma; docs/objectives.md, sections 1 and 7.4; soft labels as expectation over both orders."""
    m = (rw - rl) - (pw - pl)
    side = {"sigmoid": lambda m: -F.logsigmoid(k * m - gamma), "hinge": lambda m: torch.relu(1 - (k * m - gamma)),
            "ipo": lambda m: (m - gamma / k - 1 / (2 * k)) ** 2}
    side["robust"] = lambda m: ((1 - smoothing) * side["sigmoid"](m) - smoothing * side["sigmoid"](-m)) / (1 - 2 * smoothing)
    first, second = side[kind](m), side[kind](-m)
    p_link = p if kind == "robust" else p * (1 - smoothing) + (1 - p) * smoothing
    return p_link * first + (1 - p_link) * second + anchor * (p * pw + (1 - p) * pl), k * m - gamma


def safeguarded(mu, policy) -> tuple:
    """Section 14; AIDC-AI/Diffusion-SDPO, train.py, with lambda for each pair: d_w, d_l whose gradient is scaled."""
    pw, pl = errors(policy)
    along = (policy[0] * policy[1]).detach().mean((1, 2, 3))
    scale = torch.where(along > 0, ((1 - mu) * pw.detach() / along).clamp(max=1), torch.ones_like(along))
    return pw, pl.detach() + scale * (pl - pl.detach())


def cpo(beta, pw, pl):
    """Section 7.3; TRL's CPOTrainer with -d in the place of log p."""
    z = beta * (pl - pw)
    return -F.logsigmoid(z) + pw, z


def orpo(beta, pw, pl):
    """Section 7.2: diffusers' prototype with the difference turned round."""
    return pw - beta * F.logsigmoid(pl - pw), pl - pw


def mapo(beta, scale, pw, pl, snr=0.5):
    """Section 7.1; mapo-t2i/mapo, train.py."""
    h = [snr * d / (torch.exp(snr * d) - 1) for d in (pw, pl)]
    z = scale * (h[0] - h[1])
    return pw - beta * F.logsigmoid(z), z


def dspo(form, beta, policy, reference):
    """Section 8; huaishengzhu/DSPO, train.py, with sdxl's branch decided for each pair."""
    (pw, pl), (rw, rl) = errors(policy), errors(reference)
    z = -0.5 * beta * ((pw - pl) - (rw - rl))
    gate, move = (1 - torch.sigmoid(z))[:, None, None, None], policy[0] - reference[0]
    if form == "sd15":
        return (policy[0] - beta * gate * move).square().mean((1, 2, 3)), z
    large = move.square().mean((1, 2, 3)) >= 0.1
    return torch.where(large, (gate * move).square().mean((1, 2, 3)), gate.square().mean((1, 2, 3))), z


def record(out, case, unet, result, gradients):
    losses, logits = result
    out[case + ".losses"], out[case + ".logits"], out[case + ".loss"] = losses.detach(), logits.detach(), losses.mean().detach()
    if gradients:
        unet.zero_grad()
        losses.mean().backward(retain_graph=True)
        for key, parameter in unet.named_parameters():
            if "lora_" in key:
                out[f"{case}.grad.unet.{key.replace('.default_0.', '.')}"] = parameter.grad.clone()


def expected() -> dict:
    dtype, out = torch.get_default_dtype(), {}
    b = {k: v.to(dtype) if v.is_floating_point() else v for k, v in GIVEN.items()}
    for prediction in ("epsilon", "v_prediction"):
        scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler", prediction_type=prediction)
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors").to(dtype)
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        policy = residuals(unet, scheduler, b)
        with torch.no_grad():
            unet.disable_adapters()
            reference = residuals(unet, scheduler, b)
            unet.enable_adapters()
        (pw, pl), (rw, rl) = errors(policy), errors(reference)
        for name, tensor in dict(policy_win=pw, policy_lose=pl, reference_win=rw, reference_lose=rl).items():
            out[f"{prediction}.{name}"] = tensor.detach()
        cases = dict(sigmoid=("sigmoid", 10, 0), hinge=("hinge", 10, 0), ipo=("ipo", 10, 0), smooth=("sigmoid", 10, 0.1), strong=("sigmoid", 50, 0),
                     robust=("robust", 10, 0.1))
        for name, (kind, k, smoothing) in cases.items():
            label = b["preference"] if name in ("smooth", "robust") else torch.ones(3)
            record(out, f"{prediction}.{name}", unet, dpo(kind, k, smoothing, label, pw, pl, rw, rl), name == "sigmoid")
        record(out, f"{prediction}.margin", unet, dpo("sigmoid", 10, 0, torch.ones(3), pw, pl, rw, rl, gamma=0.3, anchor=0.5), False)
        first = prediction == "epsilon"
        record(out, f"{prediction}.cpo", unet, cpo(10, pw, pl), first)
        record(out, f"{prediction}.orpo", unet, orpo(0.1, pw, pl), first)
        record(out, f"{prediction}.mapo", unet, mapo(0.1, 20, pw, pl), first)
        record(out, f"{prediction}.dspo_sd15", unet, dspo("sd15", 0.5, policy, reference), first)
        record(out, f"{prediction}.dspo_sdxl", unet, dspo("sdxl", 20, policy, reference), first)
        record(out, f"{prediction}.safeguard", unet, dpo("sigmoid", 10, 0, torch.ones(3), *safeguarded(0.6, policy), rw, rl), first)
        with torch.no_grad():
            made = [inverted(unet, scheduler, b, b[f"latents_{which}"]) for which in ("win", "lose")]
            unet.disable_adapters()
            reference = errors(inverted_residuals(unet, scheduler, b, made))
            unet.enable_adapters()
        policy = errors(inverted_residuals(unet, scheduler, b, made))
        record(out, f"{prediction}.inverted", unet, dpo("sigmoid", 10, 0, torch.ones(3), *policy, *reference), first)
    # sft of the whole network, without adapters.
    scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler")
    unet = base().requires_grad_(True).to(dtype)
    losses = errors(residuals(unet, scheduler, b))[0]
    losses.mean().backward()
    out["sft.losses"] = losses.detach()
    for key, parameter in unet.named_parameters():
        out["sft.grad." + key] = parameter.grad.clone()
    return out


GIVEN = batch()

if __name__ == "__main__":
    save_file(GIVEN, HERE / "objective_batch.safetensors")
    write("objective_expected.safetensors", *in_both(expected))
