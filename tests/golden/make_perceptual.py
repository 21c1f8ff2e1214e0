#!/usr/bin/env python3
"""Noise-conditioned perception (2406.17636) written out with diffusers + peft, as its authors' train_sd15.py and train_SDXL.py have it:
DDPMScheduler.step to t - 1 with a noise of ours, a copy of the U-Net made before LoRA as the encoder, taps by hooks.

On the tiny model of make_lora.py (epsilon and v prediction) and on tiny_pipeline_xl's U-Net. Values are float64's, each stored with the
error of diffusers' own float32 (golden_file.py). Schedulers keep the table of variances that they have in float32.

Writes perceptual_batch.safetensors and perceptual_xl_batch.safetensors (files that `palate step --in` takes; without
features_timesteps for the step to t - 1), perceptual_xl_lora.safetensors, perceptual_expected.safetensors:
  CASE.policy_win, ..., CASE.losses, CASE.logits (dpo, z = the case's k * margin) and CASE.grad.unet.NAME.
Needs: pip install torch diffusers peft safetensors
"""
import copy

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.schedulers import scheduling_ddpm
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file

from golden_file import in_both, write
from make_lora import HERE, MODEL, fill, load_as_pipelines_do

XL = HERE / "tiny_pipeline_xl"
# case: (model, prediction, taps, uniform t', k)
CASES = dict(down=("sd", "epsilon", ("down",), False, 1000), mid=("sd", "epsilon", ("mid",), False, 1000), both=("sd", "epsilon", ("down", "mid"), False, 1000),
             v_mid=("sd", "v_prediction", ("mid",), False, 1000), uniform=("sd", "epsilon", ("down",), True, 1), v_uniform=("sd", "v_prediction", ("down",), True, 1),
             xl_down=("xl", "epsilon", ("down",), False, 10000))


def batch(seed, width) -> dict:
    g = torch.Generator().manual_seed(seed)
    picture = lambda: torch.randn(3, 4, 8, 8, generator=g)
    return dict(latents_win=picture(), latents_lose=picture(), noise=picture(), step_noise=picture(), timesteps=torch.tensor([1, 420, 977]),
                features_timesteps=torch.tensor([640, 200, 12]), encoder_hidden_states=torch.randn(3, 5, width, generator=g))


def xl_batch() -> dict:
    given, g = batch(18, 40), torch.Generator().manual_seed(19)
    return given | dict(text_embeds=torch.randn(3, 12, generator=g), time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64], [80, 64, 8, 0, 64, 64], [64, 96, 0, 16, 64, 64]]))


def adapters() -> dict:
    unet = UNet2DConditionModel.from_pretrained(XL / "unet")
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    state = {name: value.clone() for name, value in get_peft_model_state_dict(unet).items()}
    fill(sorted(state.items()), 20)
    return {"unet." + name: value.contiguous() for name, value in state.items()}


def policy(model, dtype):
    """The U-Net with its LoRA, and the encoder: a copy from before it."""
    if model == "sd":
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors").to(dtype)
        encoder = UNet2DConditionModel.from_pretrained(MODEL / "unet")
    else:
        unet = UNet2DConditionModel.from_pretrained(XL / "unet")
        encoder = copy.deepcopy(unet)
        unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        set_peft_model_state_dict(unet, {name.removeprefix("unet."): value for name, value in ADAPTERS.items()})
        unet = unet.to(dtype)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return unet.eval(), encoder.requires_grad_(False).to(dtype).eval()


def run(net, x, t, b):
    added = {key: b[key] for key in ("text_embeds", "time_ids") if key in b}
    return net(x, t, b["encoder_hidden_states"], added_cond_kwargs=added or None).sample


def features(net, x, t, b, taps):
    taken = {}
    handles = [net.mid_block.register_forward_hook(lambda _, given, out: taken.update(down=given[0], mid=out))]
    run(net, x, t, b)
    for handle in handles:
        handle.remove()
    return [taken[tap] for tap in taps]


def ancestral(scheduler, prediction, t, x_t, z):
    """DDPMScheduler.step from each example's own timestep, with z for its noise."""
    rows = []
    for i, step in enumerate(t.tolist()):
        scheduling_ddpm.randn_tensor = lambda *_, i=i, **__: z[i:i + 1]
        rows.append(scheduler.step(prediction[i:i + 1], step, x_t[i:i + 1]).prev_sample)
    return torch.cat(rows)


def again(scheduler, prediction, t, x_t, later):
    """x0 and noise as predicted, noised to another timestep."""
    kept = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    alpha, sigma = kept.sqrt(), (1 - kept).sqrt()
    if scheduler.config.prediction_type == "epsilon":
        x0, noise = (x_t - sigma * prediction) / alpha, prediction
    else:
        x0, noise = alpha * x_t - sigma * prediction, alpha * prediction + sigma * x_t
    return scheduler.add_noise(x0, noise, later)


def errors(unet, encoder, scheduler, b, taps, uniform):
    """PL of winner and loser."""
    out, t = [], b["timesteps"]
    later = b["features_timesteps"] if uniform else t - 1
    for latents in (b["latents_win"], b["latents_lose"]):
        x_t = scheduler.add_noise(latents, b["noise"], t)
        truth = scheduler.get_velocity(latents, b["noise"], t) if scheduler.config.prediction_type == "v_prediction" else b["noise"]
        move = (lambda p: again(scheduler, p, t, x_t, later)) if uniform else (lambda p: ancestral(scheduler, p, t, x_t, b["step_noise"]))
        seen, true = (features(encoder, move(p), later, b, taps) for p in (run(unet, x_t, t, b), truth))
        out.append(torch.stack([F.mse_loss(a, e, reduction="none").mean((1, 2, 3)) for a, e in zip(seen, true)]).mean(0))
    return out


def expected() -> dict:
    dtype, out = torch.get_default_dtype(), {}
    for case, (model, prediction, taps, uniform, k) in CASES.items():
        b = {k: v.to(dtype) if v.is_floating_point() else v for k, v in BATCHES[model].items()}
        scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler", prediction_type=prediction)
        scheduler.alphas_cumprod = TABLE.to(dtype)
        unet, encoder = policy(model, dtype)
        pw, pl = errors(unet, encoder, scheduler, b, taps, uniform)
        with torch.no_grad():
            unet.disable_adapters()
            rw, rl = errors(unet, encoder, scheduler, b, taps, uniform)
            unet.enable_adapters()
        logits = k * ((rw - rl) - (pw - pl))
        losses = -F.logsigmoid(logits)
        losses.mean().backward()
        values = dict(policy_win=pw, policy_lose=pl, reference_win=rw, reference_lose=rl, losses=losses, logits=logits)
        out |= {f"{case}.{name}": value.detach() for name, value in values.items()}
        for key, parameter in unet.named_parameters():
            if "lora_" in key:
                out[f"{case}.grad.unet.{key.replace('.default_0.', '.').replace('.default.', '.')}"] = parameter.grad.clone()
    return out


BATCHES = dict(sd=batch(17, 12), xl=xl_batch())
ADAPTERS = adapters()
TABLE = DDPMScheduler.from_pretrained(MODEL / "scheduler").alphas_cumprod

if __name__ == "__main__":
    save_file(BATCHES["sd"], HERE / "perceptual_batch.safetensors")
    save_file(BATCHES["xl"], HERE / "perceptual_xl_batch.safetensors")
    save_file(ADAPTERS, HERE / "perceptual_xl_lora.safetensors")
    write("perceptual_expected.safetensors", *in_both(expected))
