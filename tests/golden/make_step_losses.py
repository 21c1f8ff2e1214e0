#!/usr/bin/env python3
"""Losses on the model's own denoising steps (docs/objectives.md, section 5), written out in torch on diffusers' DDIM scheduler and the tiny
model of make_lora.py (run that first), with guidance 3 and eta 1.

Values are float64's; each is stored with the error of the same in float32 (golden_file.py). Writes step_losses_given.safetensors, the
tensors that `palate step --in` takes under CASE.NAME, and step_losses_expected.safetensors: CASE.LOSS.loss, .losses, .log_prob ..., and every
gradient (of v_prediction for two of the losses). CASE is `epsilon` or `v_prediction`; the last of its steps ends at final_alpha_cumprod.
Needs: pip install torch diffusers peft safetensors
"""
import math

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from safetensors.torch import save_file

from golden_file import HERE, in_both, write
from make_lora import MODEL, load_as_pipelines_do

GUIDANCE = 3.0
T, S = torch.tensor([961, 421, 1]), torch.tensor([941, 401, -19])
CONSTANTS = dict(clip=1e-4, advantage_clip=5.0, reward_weight=10.0, dpok_kl=0.01, grpo_kl=0.04, d3po=0.1, spo=10.0, pair_clip=0.1)


def scheduler_of(prediction):
    return DDIMScheduler.from_pretrained(MODEL / "scheduler", prediction_type=prediction, set_alpha_to_one=False, clip_sample=False)


def guided(unet, x, text, empty):
    unconditional, conditional = unet(x, T, empty).sample, unet(x, T, text).sample
    return unconditional + GUIDANCE * (conditional - unconditional)


def ddim(scheduler, predicted, x):
    """Mean and deviation of DDIM's step at eta 1, Song et al., 2021, equations 12 and 16, for rows at timesteps of their own."""
    products = scheduler.alphas_cumprod.to(x.dtype)
    at = products[T].view(-1, 1, 1, 1)
    to = torch.where(S >= 0, products[S.clamp_min(0)], scheduler.final_alpha_cumprod.to(x.dtype)).view(-1, 1, 1, 1)
    if scheduler.config.prediction_type == "v_prediction":
        x0, epsilon = at.sqrt() * x - (1 - at).sqrt() * predicted, at.sqrt() * predicted + (1 - at).sqrt() * x
    else:
        x0, epsilon = (x - (1 - at).sqrt() * predicted) / at.sqrt(), predicted
    variance = (1 - to) / (1 - at) * (1 - at / to)
    return to.sqrt() * x0 + (1 - to - variance).sqrt() * epsilon, variance.sqrt()


def log_prob(x, mean, std):
    """ddpo-pytorch, diffusers_patch/ddim_with_logprob.py: the mean along all but the batch dimension."""
    return (-((x - mean) ** 2) / (2 * std**2) - std.log() - math.log(math.sqrt(2 * math.pi))).mean((1, 2, 3))


def given() -> dict:
    """Two steps from each of three noisy latents: near the reference's own, so that the ratios to it are near 1."""
    torch.manual_seed(29)
    b = dict(latents=torch.randn(3, 4, 8, 8), encoder_hidden_states=torch.randn(3, 5, 12), uncond_encoder_hidden_states=torch.randn(3, 5, 12),
             timesteps=T, previous_timesteps=S, advantages=torch.tensor([1.5, -0.7, 6.0]))
    out = {}
    for prediction in ("epsilon", "v_prediction"):
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors")
        one = dict(b)
        with torch.no_grad():
            unet.disable_adapters()
            mean, std = ddim(scheduler_of(prediction), guided(unet, b["latents"], b["encoder_hidden_states"], b["uncond_encoder_hidden_states"]), b["latents"])
            one["previous_latents_win"], one["previous_latents_lose"] = (mean + std * torch.randn_like(mean) for _ in range(2))
            one["previous_latents"] = one["previous_latents_win"]
            unet.enable_adapters()
            mean, std = ddim(scheduler_of(prediction), guided(unet, b["latents"], b["encoder_hidden_states"], b["uncond_encoder_hidden_states"]), b["latents"])
            # Below, within and above the clip of 1e-4.
            one["old_log_prob"] = log_prob(one["previous_latents"], mean, std) + torch.tensor([-3e-4, 4e-5, 3e-4])
        out |= {f"{prediction}.{name}": value.clone() for name, value in one.items()}
    return out


def surrogate(ratio, advantages):
    c = CONSTANTS["clip"]
    a = advantages.clamp(-CONSTANTS["advantage_clip"], CONSTANTS["advantage_clip"])
    return torch.maximum(-a * ratio, -a * ratio.clamp(1 - c, 1 + c))


def pair(beta, win, lose):
    """D3PO's and SPO's, with the logarithm of the clipped ratio."""
    c = CONSTANTS["pair_clip"]
    logits = beta * (win.exp().clamp(1 - c, 1 + c).log() - lose.exp().clamp(1 - c, 1 + c).log())
    return -F.logsigmoid(logits), logits


def expected() -> dict:
    dtype, out = torch.get_default_dtype(), {}
    for prediction in ("epsilon", "v_prediction"):
        b = {key.split(".", 1)[1]: value for key, value in GIVEN.items() if key.startswith(prediction + ".")}
        b = {key: value.to(dtype) if value.is_floating_point() else value for key, value in b.items()}
        scheduler = scheduler_of(prediction)
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors").to(dtype)
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        x, text, empty = b["latents"], b["encoder_hidden_states"], b["uncond_encoder_hidden_states"]
        with torch.no_grad():
            unet.disable_adapters()
            ref, std = ddim(scheduler, guided(unet, x, text, empty), x)
            unet.enable_adapters()
        mean, _ = ddim(scheduler, guided(unet, x, text, empty), x)
        kl = ((mean - ref) ** 2 / (2 * std**2)).mean((1, 2, 3))
        own = log_prob(b["previous_latents"], mean, std)
        ratio = (own - b["old_log_prob"]).exp()
        win, lose = (log_prob(b[name], mean, std) - log_prob(b[name], ref, std) for name in ("previous_latents_win", "previous_latents_lose"))
        reward = surrogate(ratio, b["advantages"])
        cases = {"ddpo": (reward, None), "dpok": (CONSTANTS["reward_weight"] * reward + CONSTANTS["dpok_kl"] * kl, None),
                 "flow-grpo": (reward + CONSTANTS["grpo_kl"] * kl, None), "d3po": pair(CONSTANTS["d3po"], win, lose), "spo": pair(CONSTANTS["spo"], win, lose)}
        out |= {f"{prediction}.log_prob": own, f"{prediction}.ratio": ratio, f"{prediction}.kl": kl, f"{prediction}.ratio_win": win.exp(),
                f"{prediction}.ratio_lose": lose.exp()}
        for name, (losses, logits) in cases.items():
            case = f"{prediction}.{name}"
            out[case + ".losses"], out[case + ".loss"] = losses, losses.mean()
            if logits is not None:
                out[case + ".logits"] = logits
            if prediction == "v_prediction" and name not in ("flow-grpo", "spo"):
                continue
            unet.zero_grad()
            losses.mean().backward(retain_graph=True)
            for key, parameter in unet.named_parameters():
                if "lora_" in key:
                    out[f"{case}.grad.unet.{key.replace('.default_0.', '.')}"] = parameter.grad.clone()
    return {key: value.detach() for key, value in out.items()}


GIVEN = given()

if __name__ == "__main__":
    save_file(GIVEN, HERE / "step_losses_given.safetensors")
    write("step_losses_expected.safetensors", *in_both(expected))
