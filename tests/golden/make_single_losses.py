#!/usr/bin/env python3
"""Losses on single pictures written out with diffusers + peft on the tiny model of make_lora.py (run that first): KTO, DCO with base prompts, with
min-SNR weights inside its sigmoid and with pictures of the class, DreamBooth with weights, reward-weighted regression. docs/objectives.md, 4, 6, 10, 13.

Writes single_losses_batch.safetensors (the file that `palate step --in` takes, with inputs of all of them) and single_losses_expected.safetensors:
  PREDICTION.CASE.loss, .losses, .logits where there are any, of some .grad.unet.NAME; PREDICTION.policy, .reference, .reference_same
Needs: pip install torch diffusers peft safetensors
"""
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from safetensors.torch import save_file

from golden_file import HERE, in_both, write
from make_lora import MODEL, load_as_pipelines_do

BETA, GAMMA, TEMPERATURE = 20.0, 5.0, 0.5
WITH_GRADIENTS = ("kto", "dco", "dco_prior", "dreambooth", "rwr")


def batch() -> dict:
    g = torch.Generator().manual_seed(29)
    return dict(latents=torch.randn(4, 4, 8, 8, generator=g), noise=torch.randn(4, 4, 8, 8, generator=g), timesteps=torch.tensor([5, 310, 640, 985]),
                encoder_hidden_states=torch.randn(4, 5, 12, generator=g), base_encoder_hidden_states=torch.randn(4, 5, 12, generator=g),
                labels=torch.tensor([1.0, -1.0, 1.0, 1.0]), weights=torch.tensor([1.0, 0.25, 1.0, 0.25]), prior=torch.tensor([0.0, 1.0, 0.0, 1.0]),
                rewards=torch.tensor([0.3, -0.2, 1.1, 0.6]))


def errors(unet, scheduler, b, prompts):
    noisy = scheduler.add_noise(b["latents"], b["noise"], b["timesteps"])
    prediction = unet(noisy, b["timesteps"], prompts).sample
    v = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(b["latents"], b["noise"], b["timesteps"]) if v else b["noise"]
    return F.mse_loss(prediction, target, reduction="none").mean((1, 2, 3))


def min_snr(scheduler, t):
    snr = compute_snr(scheduler, t)
    capped = snr.clamp(max=GAMMA)
    return capped / (snr + 1) if scheduler.config.prediction_type == "v_prediction" else capped / snr


def cases(b, d, ref, ref_same, snr) -> dict:
    """name -> ([B] losses, [B] logits or None). `weights` multiply every loss but KTO's and RWR's, for which the test leaves them away."""
    prior, w = b["prior"].bool(), b["weights"]
    y, gain = b["labels"], ref_same - d
    q = gain.detach().mean().clamp(min=0)
    kto = BETA * y * (gain - q)
    plain, inside = -BETA * (d - ref), -BETA * (snr * d - snr * ref)
    reward = torch.exp(b["rewards"] / TEMPERATURE)
    return dict(kto=(1 - torch.sigmoid(kto), kto), dco=(-F.logsigmoid(-BETA * (d - ref)) * w, plain), dco_snr=(-F.logsigmoid(inside) * w, inside),
                dco_prior=(torch.where(prior, d, -F.logsigmoid(inside)) * w, inside), dreambooth=(d * w, None), dreambooth_snr=(d * w * snr, None),
                rwr=(reward / reward.mean() * d, None))


def expected() -> dict:
    dtype, out = torch.get_default_dtype(), {}
    b = {k: v.to(dtype) if v.is_floating_point() else v for k, v in GIVEN.items()}
    for prediction in ("epsilon", "v_prediction"):
        scheduler = DDPMScheduler.from_pretrained(MODEL / "scheduler", prediction_type=prediction)
        unet = load_as_pipelines_do(HERE / "lora_peft.safetensors").to(dtype)
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        d = errors(unet, scheduler, b, b["encoder_hidden_states"])
        with torch.no_grad():
            unet.disable_adapters()
            ref = errors(unet, scheduler, b, b["base_encoder_hidden_states"])
            ref_same = errors(unet, scheduler, b, b["encoder_hidden_states"])
            unet.enable_adapters()
        out.update({f"{prediction}.policy": d.detach(), f"{prediction}.reference": ref, f"{prediction}.reference_same": ref_same})
        for name, (losses, logits) in cases(b, d, ref, ref_same, min_snr(scheduler, b["timesteps"])).items():
            case = f"{prediction}.{name}"
            out[case + ".losses"], out[case + ".loss"] = losses.detach(), losses.mean().detach()
            if logits is not None:
                out[case + ".logits"] = logits.detach()
            if prediction != "epsilon" or name not in WITH_GRADIENTS:
                continue
            unet.zero_grad()
            losses.mean().backward(retain_graph=True)
            for key, parameter in unet.named_parameters():
                if "lora_" in key:
                    out[f"{case}.grad.unet.{key.replace('.default_0.', '.')}"] = parameter.grad.clone()
    return out


GIVEN = batch()

if __name__ == "__main__":
    save_file(GIVEN, HERE / "single_losses_batch.safetensors")
    write("single_losses_expected.safetensors", *in_both(expected))
