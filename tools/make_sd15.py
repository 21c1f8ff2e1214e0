#!/usr/bin/env python3
"""Writes a full-size Stable Diffusion 1.5 folder with random weights, from the model's real configs and tokenizer.

    make_sd15.py CONFIGS OUTPUT [--dtype bf16|fp16|float32] [--seed N]

CONFIGS is a folder in diffusers' layout without weights (unet/config.json, vae/config.json, text_encoder/config.json,
scheduler/, tokenizer/, model_index.json). The configs are copied byte for byte, so a reader meets the missing keys of the
real files; only the weights are ours: the reference library's initial ones, with the final layers of the U-Net's and the
autoencoder's blocks left as they are drawn. Sizes: 1.7 GB + 0.2 GB + 0.2 GB in bf16. For tests of size, memory and
formats: the pictures of such a model are noise.
"""
import argparse
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}


def draw(cls, config, seed):
    """A model with the reference library's initial weights, the same for the same seed."""
    torch.manual_seed(seed)
    return cls(config) if cls is CLIPTextModel else cls.from_config(config)


def text_name(name):
    """transformers 5 drops the prefix that the files of SD1.5 carry."""
    return name if name.startswith("text_model.") else "text_model." + name


def write(model, path, dtype, rename=lambda name: name):
    tensors = {rename(name): value.to(dtype).contiguous() for name, value in model.state_dict().items() if value.is_floating_point()}
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # save_file makes it for the owner only
    count = sum(value.numel() for value in tensors.values())
    print(f"{path}: {len(tensors)} tensors, {count / 1e6:.1f} M values, {path.stat().st_size / 1e9:.2f} GB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dtype = DTYPES[args.dtype]

    index = json.loads((args.configs / "model_index.json").read_text())
    # Parts that are not needed to train or sample, and that CONFIGS has no files for.
    for part in ("safety_checker", "feature_extractor"):
        index[part] = [None, None]
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    for part in ("scheduler", "tokenizer", "unet", "vae", "text_encoder"):
        shutil.copytree(args.configs / part, args.output / part, dirs_exist_ok=True, copy_function=shutil.copyfile)
        (args.output / part).chmod(0o755)

    config = json.loads((args.configs / "unet/config.json").read_text())
    write(draw(UNet2DConditionModel, config, args.seed), args.output / "unet/diffusion_pytorch_model.safetensors", dtype)
    config = json.loads((args.configs / "vae/config.json").read_text())
    write(draw(AutoencoderKL, config, args.seed + 1), args.output / "vae/diffusion_pytorch_model.safetensors", dtype)
    config = CLIPTextConfig.from_json_file(args.configs / "text_encoder/config.json")
    write(draw(CLIPTextModel, config, args.seed + 2), args.output / "text_encoder/model.safetensors", dtype, text_name)


if __name__ == "__main__":
    main()
