"""Models of this folder as torch.save's .bin: bin/unet in shards with an index, and as variant "half" in one file; bin/text_encoder in
one file of the format before torch 1.6. Run with a Python that has torch and safetensors, after make_unet.py and make_clip.py."""
import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent


def start(name, source):
    folder = HERE / "bin" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(HERE / source / "config.json", folder / "config.json")
    return folder


def unet():
    folder, weights = start("unet", "unet_sd1"), load_file(HERE / "unet_sd1/diffusion_pytorch_model.safetensors")
    torch.save(weights, folder / "diffusion_pytorch_model.half.bin")
    names, where = sorted(weights), {}
    for part, keys in enumerate((names[::2], names[1::2]), 1):
        file = f"diffusion_pytorch_model-{part:05}-of-00002.bin"
        torch.save({key: weights[key] for key in keys}, folder / file)
        where.update({key: file for key in keys})
    size = sum(weight.nbytes for weight in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (folder / "diffusion_pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def text_encoder():
    folder, weights = start("text_encoder", "clip_legacy"), load_file(HERE / "clip_legacy/model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    unet()
    text_encoder()
    print(sum(file.stat().st_size for file in (HERE / "bin").rglob("*.*")), "bytes")
