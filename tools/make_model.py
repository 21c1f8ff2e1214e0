#!/usr/bin/env python3
"""Writes a full-size SD1.x, SD2.x or SDXL folder with random weights, from the model's real configs and tokenizers.

    make_model.py CONFIGS OUTPUT [--dtype bf16|fp16|float32] [--seed N]

CONFIGS is a folder in diffusers' layout without weights (unet/config.json, vae/config.json, text_encoder/config.json,
scheduler/, tokenizer/, model_index.json; for SDXL text_encoder_2 and tokenizer_2 too). The configs are copied byte for byte, so a reader meets the missing keys of the
real files; only the weights are ours: the reference library's initial ones, with the final layers of the U-Net's and the
autoencoder's blocks left as they are drawn. Sizes in bf16: SD1.5 2.1 GB, SDXL 6.9 GB. For tests of size, memory and
formats: the pictures of such a model are noise.
"""
import argparse
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}


def draw(cls, config, seed):
    """A model with the reference library's initial weights, the same for the same seed."""
    torch.manual_seed(seed)
    return cls.from_config(config) if hasattr(cls, "from_config") else cls(config)


def text_name(name):
    """transformers 5 drops the prefix that the files of SD carry."""
    return name if name.startswith(("text_model.", "text_projection.")) else "text_model." + name


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
    torch.set_default_dtype(dtype)  # SDXL in float32 would need 10 GB

    index = json.loads((args.configs / "model_index.json").read_text())
    # Parts that are not needed to train or sample, and that CONFIGS has no files for.
    for part in ("safety_checker", "feature_extractor"):
        if part in index:
            index[part] = [None, None]
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    parts = [name for name, value in index.items() if isinstance(value, list) and value[0]]
    for part in parts:
        shutil.copytree(args.configs / part, args.output / part, dirs_exist_ok=True, copy_function=shutil.copyfile)
        (args.output / part).chmod(0o755)
    for part in (p for p in parts if p.startswith("tokenizer")):  # SD2 and SDXL use SD1.5's words; their folders may come without
        for name in ("vocab.json", "merges.txt"):
            if not (args.output / part / name).exists():
                shutil.copyfile(args.configs.parent / "sd15/tokenizer" / name, args.output / part / name)

    for offset, (part, cls) in enumerate((("unet", UNet2DConditionModel), ("vae", AutoencoderKL))):
        config = json.loads((args.configs / part / "config.json").read_text())
        write(draw(cls, config, args.seed + offset), args.output / part / "diffusion_pytorch_model.safetensors", dtype)
    for offset, (part, cls) in enumerate((("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection)), 2):
        if part in parts:
            config = CLIPTextConfig.from_json_file(args.configs / part / "config.json")
            write(draw(cls, config, args.seed + offset), args.output / part / "model.safetensors", dtype, text_name)


if __name__ == "__main__":
    main()
