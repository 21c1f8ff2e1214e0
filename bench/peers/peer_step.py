#!/usr/bin/env python3
"""Kept beside our benchmarks so that both run in one go.

The Python peer: one Diffusion-DPO LoRA training step with diffusers + peft + torch, timed.

Two kinds of work:
  --work cached   latents and text states are given: policy forward, reference forward (adapters off), backward, clip, AdamW
  --work script   what diffusers' example script does at each step: also VAE-encode both images and encode the caption
Weights are random (the time does not depend on them). One JSON line on stdout: seconds per step (minimum and median), the
parts, and the peak resident memory. Needs: pip install torch diffusers transformers peft
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import LoraConfig
from transformers import CLIPTextConfig, CLIPTextModel

UNETS = {
    "sd15": dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
    "sd21": dict(sample_size=64, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True,
                 upcast_attention=True),
    "sdxl": dict(sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048,
                 down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                 up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                 attention_head_dim=(5, 10, 20), transformer_layers_per_block=(1, 2, 10), use_linear_projection=True,
                 addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816),
}
VAE = dict(block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
           up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4, sample_size=512)
CLIP_L = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768)


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--model", choices=UNETS, default="sd15")
    p.add_argument("--unet", help="a diffusers U-Net folder instead of --model")
    p.add_argument("--work", choices=("cached", "script"), default="cached")
    p.add_argument("--latent", type=int, default=64, help="latent side; the image side is 8 times that")
    p.add_argument("--pairs", type=int, default=1)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16")
    p.add_argument("--threads", type=int, default=torch.get_num_threads())
    p.add_argument("--device", default="cpu")
    p.add_argument("--channels-last", action="store_true")
    p.add_argument("--checkpointing", action="store_true")
    p.add_argument("--compile", action="store_true")
    a = p.parse_args()

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    dev, dt = torch.device(a.device), {"bf16": torch.bfloat16, "fp32": torch.float32}[a.dtype]
    unet = UNet2DConditionModel.from_pretrained(a.unet) if a.unet else UNet2DConditionModel(**UNETS[a.model])
    unet.requires_grad_(False).to(dev, dt)
    if a.channels_last:
        unet.to(memory_format=torch.channels_last)
    unet.add_adapter(LoraConfig(r=a.rank, lora_alpha=a.rank, init_lora_weights="gaussian",
                                target_modules=["to_k", "to_q", "to_v", "to_out.0"]))
    trained = [q for q in unet.parameters() if q.requires_grad]
    for q in trained:
        q.data = q.data.float()
    if a.checkpointing:
        unet.enable_gradient_checkpointing()
    unet.train()
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    net = torch.compile(unet) if a.compile else unet

    n, c, ctx = 2 * a.pairs, unet.config.in_channels, unet.config.cross_attention_dim
    if a.work == "script":
        vae = AutoencoderKL(**VAE).requires_grad_(False).to(dev, dt)
        text = CLIPTextModel(CLIPTextConfig(**CLIP_L)).requires_grad_(False).to(dev, dt)
        pixels = torch.randn(n, 3, 8 * a.latent, 8 * a.latent, device=dev, dtype=dt)
        ids = torch.randint(0, 49000, (a.pairs, 77), device=dev)
    latents = torch.randn(n, c, a.latent, a.latent, device=dev)
    states = torch.randn(n, 77, ctx, device=dev, dtype=dt)
    added = None
    if unet.config.addition_embed_type == "text_time":
        side = 8.0 * a.latent
        added = {"text_embeds": torch.randn(n, 1280, device=dev, dtype=dt),
                 "time_ids": torch.tensor([[side, side, 0, 0, side, side]], device=dev, dtype=dt).repeat(n, 1)}
    alpha_bar = torch.cumprod(1 - torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000) ** 2, 0).to(dev)

    def sync() -> float:
        if dev.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def step() -> dict:
        t0 = sync()
        x0, cond = latents, states
        if a.work == "script":
            with torch.no_grad():
                x0 = torch.cat([vae.encode(im[None]).latent_dist.sample() for im in pixels]).float() * 0.18215
                cond = text(ids)[0].repeat(2, 1, 1)
        t1 = sync()
        noise = torch.randn(a.pairs, c, a.latent, a.latent, device=dev).repeat(2, 1, 1, 1)
        t = torch.randint(0, 1000, (a.pairs,), device=dev).repeat(2)
        ab = alpha_bar[t].view(-1, 1, 1, 1)
        x = (ab.sqrt() * x0 + (1 - ab).sqrt() * noise).to(dt)

        def errors() -> torch.Tensor:
            with torch.autocast(dev.type, dtype=torch.bfloat16, enabled=a.dtype == "bf16"):
                out = net(x, t, cond, added_cond_kwargs=added).sample
            return F.mse_loss(out.float(), noise, reduction="none").mean((1, 2, 3))

        policy = errors()
        t2 = sync()
        unet.disable_adapters()
        with torch.no_grad():
            reference = errors()
        unet.enable_adapters()
        t3 = sync()
        (pw, pl), (rw, rl) = policy.chunk(2), reference.chunk(2)
        loss = -F.logsigmoid(2500 * ((rw - rl) - (pw - pl))).mean()
        loss.backward()
        t4 = sync()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        t5 = sync()
        return dict(encode=t1 - t0, policy=t2 - t1, reference=t3 - t2, backward=t4 - t3, optimizer=t5 - t4, total=t5 - t0)

    step()
    runs = [step() for _ in range(a.steps)]
    total = [r["total"] for r in runs]
    peak = (torch.cuda.max_memory_allocated() / 1e9 if dev.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
    print(json.dumps(dict(peer=f"diffusers {__import__('diffusers').__version__}, torch {torch.__version__}", **vars(a),
                          step_min_s=min(total), step_median_s=statistics.median(total),
                          pairs_per_s=a.pairs / statistics.median(total),
                          parts={k: min(r[k] for r in runs) for k in runs[0]}, peak_gb=peak)))


if __name__ == "__main__":
    main()
