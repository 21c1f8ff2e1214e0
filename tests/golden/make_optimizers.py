"""Goldens of the optimizers other than AdamW: transformers' Adafactor, lion-pytorch, prodigyopt, bitsandbytes' AdamW8bit, ten steps each.
Writes train_optimizers.safetensors. Needs: pip install transformers lion-pytorch prodigyopt bitsandbytes."""
import pathlib

import bitsandbytes
import bitsandbytes.backends.cpu.ops as cpu_ops
import torch
from lion_pytorch import Lion
from prodigyopt import Prodigy
from safetensors.torch import save_file
from transformers.optimization import Adafactor



def exact_quantize(values, code, largest, codes, blocksize):
    """The library's own rule for types without a kernel: the nearest code. Its float32 kernel looks codes up in a table of 16 bits and misses it at times."""
    found, scale = torch.ops.bitsandbytes.quantize_blockwise(values.double(), code, blocksize)
    codes.copy_(found)
    largest.copy_(scale)


cpu_ops._quant_blockwise_fp32_direct = exact_quantize
here = pathlib.Path(__file__).parent
torch.set_num_threads(1)
SHAPES = {"a": (70, 61), "b": (33,), "c": (2, 3, 3, 3)}  # the first is large enough for eight bits

CASES = {
    "adafactor": lambda p: Adafactor(p, lr=1.0, scale_parameter=False, relative_step=False, clip_threshold=1.0, weight_decay=0.01),
    "adafactor_scaled": lambda p: Adafactor(p, lr=1.0, scale_parameter=True, relative_step=False, clip_threshold=0.7, weight_decay=0.0),
    "lion": lambda p: Lion(p, lr=1.0, betas=(0.9, 0.99), weight_decay=0.1),
    "prodigy": lambda p: Prodigy(p, lr=1.0, betas=(0.9, 0.99), weight_decay=0.01, eps=1e-8, decouple=True, use_bias_correction=True, safeguard_warmup=True),
    "prodigy_coupled": lambda p: Prodigy(p, lr=1.0, betas=(0.8, 0.95), beta3=0.9, weight_decay=0.1, d_coef=2.0, decouple=False),
    "adamw8bit": lambda p: bitsandbytes.optim.AdamW8bit(p, lr=1.0, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.05),
}
RATES = {"adafactor": 1e-2, "adafactor_scaled": 1e-2, "lion": 1e-3, "prodigy": 1.0, "prodigy_coupled": 1.0, "adamw8bit": 1e-2}

if __name__ == "__main__":
    torch.manual_seed(3)
    tensors = {f"initial.{k}": torch.randn(s) for k, s in SHAPES.items()}
    for step in range(5):  # used twice
        for k, s in SHAPES.items():
            tensors[f"gradient.{step}.{k}"] = torch.randn(s) * 10 ** (step % 3 - 2)
    for case, make in CASES.items():
        values = {k: torch.nn.Parameter(tensors[f"initial.{k}"].clone()) for k in SHAPES}
        optimizer = make(list(values.values()))
        for step in range(10):
            for k, v in values.items():
                v.grad = tensors[f"gradient.{step % 5}.{k}"].clone()
            optimizer.param_groups[0]["lr"] = RATES[case] / (1 if case.startswith("prodigy") else step + 1)
            optimizer.step()
            if step in (0, 9):
                for k, v in values.items():
                    tensors[f"{case}.{step}.{k}"] = v.detach().clone()
    save_file(tensors, here / "train_optimizers.safetensors")
