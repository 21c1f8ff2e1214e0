#!/usr/bin/env python3
"""Ten steps of NCP-DPO on a LoRA: make_dpo_steps.py with the error where noise-conditioned perception (2406.17636) takes it.

The same pictures, order and first weights; t = 0 is drawn again. The encoder is a copy of the U-Net from before its LoRA, asked at t - 1 after one
DDPM step whose noise policy, reference and truth share (formula 7 of 2006.11239). Writes dpo_steps/expected_ncp.safetensors.
Needs: pip install torch diffusers transformers peft safetensors numpy
"""
import copy

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, StableDiffusionPipeline
from peft import get_peft_model_state_dict
from safetensors.torch import save_file

from make_dpo_steps import BATCH, FOLDER, HERE, NOISE, PAIRS, SHUFFLE, STEPS, TIMESTEP, Numbers, latents, lora, write_pairs

STEP_NOISE, BETA, LR = 16, 2e6, 1e-3  # palate/core/generator.h; beta in the paper's convention, z = beta / 2 * margin


def batch(pipe, pairs, visits):
    """x0 [2B, C, h, w], noise, z, t, text, preference [B] of (row, draw) visits."""
    win, lose, noise, z, t, text, preference = [], [], [], [], [], [], []
    with torch.no_grad():
        for row, draw in visits:
            id_, prompt, w, l, p = pairs[row]
            win.append(latents(pipe.vae, w, id_, 1, draw))
            lose.append(latents(pipe.vae, l, id_, 2, draw))
            times = Numbers(id_, draw, TIMESTEP)
            while not (drawn := times.below(pipe.scheduler.config.num_train_timesteps)):
                pass
            t.append(drawn)
            noise.append(Numbers(id_, draw, NOISE).normal(*win[-1].shape))
            z.append(Numbers(id_, draw, STEP_NOISE).normal(*win[-1].shape))
            ids = pipe.tokenizer([prompt], padding="max_length", truncation=True, return_tensors="pt").input_ids
            text.append(pipe.text_encoder(ids)[0][0])
            preference.append(p)
    return torch.stack(win + lose), torch.stack(noise * 2), torch.stack(z * 2), torch.tensor(t * 2), torch.stack(text * 2), torch.tensor(preference)


def perceive(encoder, kept, prediction, x_t, z, t, text):
    """What leaves the mid block at t - 1."""
    now, then = kept[t].view(-1, 1, 1, 1), kept[t - 1].view(-1, 1, 1, 1)
    a, b = now / then, 1 - now / then
    x0 = (x_t - (1 - now).sqrt() * prediction) / now.sqrt()
    mean = then.sqrt() * b / (1 - now) * x0 + a.sqrt() * (1 - then) / (1 - now) * x_t
    taken = []
    handle = encoder.mid_block.register_forward_hook(lambda _, __, out: taken.append(out))
    encoder(mean + ((1 - then) / (1 - now) * b).sqrt() * z, t - 1, text)
    handle.remove()
    return taken[0]


def main():
    pairs = write_pairs()
    pipe = StableDiffusionPipeline.from_pretrained(HERE / "tiny_pipeline", safety_checker=None).to(torch.float64)
    kept = DDPMScheduler.from_config(pipe.scheduler.config).alphas_cumprod.double()
    encoder = copy.deepcopy(pipe.unet).requires_grad_(False)
    trained = lora(pipe.unet)
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    losses, norms, accuracies = [], [], []
    for step in range(STEPS):
        visits = [(Numbers(place // PAIRS, 0, SHUFFLE).permutation(PAIRS)[place % PAIRS], place // PAIRS) for place in range(step * BATCH, (step + 1) * BATCH)]
        x0, noise, z, t, text, p = batch(pipe, pairs, visits)
        now = kept[t].view(-1, 1, 1, 1)
        x_t = now.sqrt() * x0 + (1 - now).sqrt() * noise
        with torch.no_grad():
            truth = perceive(encoder, kept, noise, x_t, z, t, text)
        errors = lambda: (perceive(encoder, kept, pipe.unet(x_t, t, text).sample, x_t, z, t, text) - truth).square().mean((1, 2, 3)).chunk(2)
        win, lose = errors()
        with torch.no_grad():
            pipe.unet.disable_adapters()
            reference_win, reference_lose = errors()
            pipe.unet.enable_adapters()
        logits = BETA / 2 * ((reference_win - reference_lose) - (win - lose))
        loss = -(p * F.logsigmoid(logits) + (1 - p) * F.logsigmoid(-logits)).mean()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained.values(), 1.0).item())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        accuracies.append(((logits > 0).double() + 0.5 * (logits == 0).double()).mean().item())
    out = {"losses": torch.tensor(losses), "norms": torch.tensor(norms), "implicit_acc": torch.tensor(accuracies)}
    for name, value in get_peft_model_state_dict(pipe.unet).items():
        out["unet." + name] = value.detach().contiguous()
    save_file({name: value.float() for name, value in out.items()}, FOLDER / "expected_ncp.safetensors")
    print(losses, norms, accuracies, sep="\n")


if __name__ == "__main__":
    main()
