#!/usr/bin/env python3
"""Ten steps of Diffusion-DPO on a LoRA, with diffusers, transformers and peft, from pictures and prompts to weights.

What `palate train` does on tests/golden/dpo_steps (written here: seven pairs of pictures, one of them with a confidence) is done again by
those libraries: the autoencoder's posterior, the text states, the LoRA's first weights, the order of the pairs, t and noise, the loss,
clipping and AdamW. Only the random numbers are ours, from the independent implementation of the generator in make_core.py.
Computed in float64, so that the distance from it is what float32 costs. Writes dpo_steps/expected.safetensors.
Needs: pip install torch diffusers transformers peft safetensors numpy
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, StableDiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e/train")]
from make_core import M64, draws as words, mix, stable_hash  # noqa: E402
from tiny_runs import picture, pixels  # noqa: E402

FOLDER = HERE / "dpo_steps"
PAIRS, SIDE, STEPS, BATCH, RANK, SEED, BETA, LR = 7, 16, 10, 3, 4, 3, 500.0, 1e-3
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
INIT, SHUFFLE, TIMESTEP, NOISE, POSTERIOR = 0, 1, 2, 3, 4  # palate/core/generator.h


class Numbers:
    """The draws of one key."""

    def __init__(self, sample, draw, purpose, count=4096):
        self.words = iter(words(SEED, sample, draw, purpose, count))

    def wide(self):
        high = next(self.words)
        return (high << 32) | next(self.words)

    def uniform(self):
        return (self.wide() >> 11) * 2.0 ** -53

    def below(self, limit):
        while (value := self.wide()) >= M64 - M64 % limit:
            pass
        return value % limit

    def normal(self, *shape):
        out = []
        while len(out) < math.prod(shape):
            radius, angle = math.sqrt(-2 * math.log1p(-self.uniform())), 2 * math.pi * self.uniform()
            out += [radius * math.cos(angle), radius * math.sin(angle)]
        return torch.tensor(out[:math.prod(shape)], dtype=torch.float32).double().view(shape)

    def permutation(self, count):
        order = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order


def write_pairs():
    """[(id, prompt, winner's pixels, loser's, preference)]"""
    FOLDER.mkdir(exist_ok=True)
    pairs, lines = [], []
    for i in range(PAIRS):
        prompt, files, pictures = f"a picture of thing {i // 2}", [], []
        for name, number, channel in (("win", 2 * i, 0), ("lose", 2 * i + 1, 2)):
            files.append(picture(number, SIDE, SIDE, channel))
            (FOLDER / f"{name}{i}.png").write_bytes(files[-1])
            pictures.append(torch.tensor(pixels(number, SIDE, SIDE, channel), dtype=torch.float64).permute(2, 0, 1) / 127.5 - 1)
        preference = 0.8 if i == 4 else 1.0
        lines.append({"prompt": prompt, "chosen": f"win{i}.png", "rejected": f"lose{i}.png"} | ({"confidence": 0.8} if i == 4 else {}))
        pairs.append((mix(mix(stable_hash(prompt), stable_hash(files[0])), stable_hash(files[1])), prompt, *pictures, preference))
    (FOLDER / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return pairs


def lora(unet):
    """Adapters with palate's first weights: A normal over rank, B zero."""
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS, init_lora_weights=False))
    trained = {}
    for name, parameter in unet.named_parameters():
        if "lora_" not in name:
            continue
        plain = name.replace(".default", "")
        with torch.no_grad():
            if ".lora_B." in name:
                parameter.zero_()
            else:
                parameter.copy_(Numbers(stable_hash(plain), 0, INIT).normal(*parameter.shape) / RANK)
        trained[plain] = parameter.requires_grad_(True)
    return trained


def latents(vae, pictures, id_, side, draw):
    posterior = vae.encode(pictures[None]).latent_dist
    noise = Numbers(mix(id_, side), draw, POSTERIOR).normal(*posterior.mean.shape[1:])
    return ((posterior.mean + posterior.std * noise) * vae.config.scaling_factor)[0]


def batch(pipe, pairs, visits):
    """x0 [2B, C, h, w], noise, t, text, preference [B] of (row, draw) visits."""
    win, lose, noise, t, text, preference = [], [], [], [], [], []
    with torch.no_grad():
        for row, draw in visits:
            id_, prompt, w, l, p = pairs[row]
            win.append(latents(pipe.vae, w, id_, 1, draw))
            lose.append(latents(pipe.vae, l, id_, 2, draw))
            t.append(Numbers(id_, draw, TIMESTEP).below(pipe.scheduler.config.num_train_timesteps))
            noise.append(Numbers(id_, draw, NOISE).normal(*win[-1].shape))
            ids = pipe.tokenizer([prompt], padding="max_length", truncation=True, return_tensors="pt").input_ids
            text.append(pipe.text_encoder(ids)[0][0])
            preference.append(p)
    return torch.stack(win + lose), torch.stack(noise + noise), torch.tensor(t + t), torch.stack(text + text), torch.tensor(preference)


def errors(unet, scheduler, x0, noise, t, text):
    alpha = scheduler.alphas_cumprod.double()[t].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise  # scheduler.add_noise rounds to float32
    return F.mse_loss(unet(noisy, t, text).sample, noise, reduction="none").mean((1, 2, 3)).chunk(2)


def main():
    pairs = write_pairs()
    pipe = StableDiffusionPipeline.from_pretrained(HERE / "tiny_pipeline", safety_checker=None).to(torch.float64)
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    trained = lora(pipe.unet)
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    losses, norms, accuracies = [], [], []
    for step in range(STEPS):
        visits = []
        for place in range(step * BATCH, (step + 1) * BATCH):
            epoch = place // PAIRS
            visits.append((Numbers(epoch, 0, SHUFFLE).permutation(PAIRS)[place % PAIRS], epoch))
        x0, noise, t, text, p = batch(pipe, pairs, visits)
        win, lose = errors(pipe.unet, scheduler, x0, noise, t, text)
        with torch.no_grad():
            pipe.unet.disable_adapters()
            reference_win, reference_lose = errors(pipe.unet, scheduler, x0, noise, t, text)
            pipe.unet.enable_adapters()
        z = BETA / 2 * ((reference_win - reference_lose) - (win - lose))
        loss = -(p * F.logsigmoid(z) + (1 - p) * F.logsigmoid(-z)).mean()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained.values(), 1.0).item())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        accuracies.append(((z > 0).double() + 0.5 * (z == 0).double()).mean().item())
    out = {"losses": torch.tensor(losses), "norms": torch.tensor(norms), "implicit_acc": torch.tensor(accuracies)}
    for name, value in get_peft_model_state_dict(pipe.unet).items():
        out["unet." + name] = value.detach().contiguous()
    save_file({name: value.float() for name, value in out.items()}, FOLDER / "expected.safetensors")
    print(len(trained), losses, norms, accuracies, sep="\n")


if __name__ == "__main__":
    main()
