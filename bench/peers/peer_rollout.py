#!/usr/bin/env python3
"""The Python peer of DDPO's sampling, timed beside ours (bench/rollout): the loop of ddpo-pytorch with diffusers' U-Net, a LoRA of peft's, DDIM
at eta 1, guidance, log-densities, decoded pictures. One JSON line on stdout: pictures per second. Needs: pip install torch diffusers transformers peft
"""
import argparse
import json
import math
import time

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from peft import LoraConfig
from transformers import CLIPTextModel, CLIPTokenizer


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("model", help="a model folder in diffusers' layout")
    p.add_argument("--pictures", type=int, default=64)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--guidance", type=float, default=2.5)
    p.add_argument("--rank", type=int, default=8, help="of the LoRA that is trained, as ours")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=torch.get_num_threads())
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_pretrained(a.model, subfolder="unet").eval()
    unet.add_adapter(LoraConfig(r=a.rank, lora_alpha=a.rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    vae = AutoencoderKL.from_pretrained(a.model, subfolder="vae").eval()
    encoder = CLIPTextModel.from_pretrained(a.model, subfolder="text_encoder").eval()
    tokenizer = CLIPTokenizer.from_pretrained(a.model, subfolder="tokenizer")
    scheduler = DDIMScheduler.from_pretrained(a.model, subfolder="scheduler")
    length = encoder.config.max_position_embeddings
    encode = lambda texts: encoder(tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids)[0]

    @torch.no_grad()
    def epoch():
        made = []
        for _ in range(a.pictures // a.batch):
            text = torch.cat([encode([""]).expand(a.batch, -1, -1), encode(["a big red circle"]).expand(a.batch, -1, -1)])
            scheduler.set_timesteps(a.steps)
            x = torch.randn(a.batch, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
            path, density = [x], []
            for t in scheduler.timesteps:
                without, with_text = unet(torch.cat([x, x]), t, text).sample.chunk(2)
                predicted = without + a.guidance * (with_text - without)
                mean = scheduler.step(predicted, t, x, eta=1.0, variance_noise=torch.zeros_like(x)).prev_sample
                std = scheduler._get_variance(t, t - scheduler.config.num_train_timesteps // a.steps) ** 0.5
                x = mean + std * torch.randn_like(x)
                density.append((-((x - mean) ** 2) / (2 * std**2) - std.log() - math.log(math.sqrt(2 * math.pi))).mean((1, 2, 3)))
                path.append(x)
            pictures = vae.decode(x / vae.config.scaling_factor).sample
            made.append((torch.stack(path), torch.stack(density), (pictures / 2 + 0.5).clamp(0, 1)))
        return made

    epoch()
    seconds = []
    for _ in range(a.rounds):
        began = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"pictures_per_second": a.pictures / min(seconds), "median": a.pictures / sorted(seconds)[len(seconds) // 2]}))


if __name__ == "__main__":
    main()
