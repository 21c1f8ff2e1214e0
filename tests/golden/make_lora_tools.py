#!/usr/bin/env python3
"""Goldens of `palate lora`: kohya files in both SDXL spellings, DoRA, and a small independent ZipLoRA.

  make_lora_tools.py                  writes lora_tools_*.safetensors beside this file (make_lora.py goes before it)
  make_lora_tools.py --accept PALATE  converts LoRAs of tiny SD1.5- and SDXL-shaped models with the program, and loads what it wrote
                                      into diffusers and peft: no missing and no unexpected keys, the same output, the same delta-W
Needs: pip install torch diffusers transformers peft safetensors
"""
import argparse
import json
import logging
import pathlib
import subprocess
import sys
import tempfile

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from make_lora import HERE, base, fill, inputs

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
WIDE = ATTENTION + ["conv_in", "conv_out", "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "proj_in", "proj_out", "time_emb_proj",
                    "ff.net.0.proj", "ff.net.2", "linear_1", "linear_2"]
SD = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 8, 16, 16), layers_per_block=2, norm_num_groups=4,
          down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
          cross_attention_dim=12, attention_head_dim=2)
XL = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 8, 16), layers_per_block=2, norm_num_groups=4,
          down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
          up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=12, attention_head_dim=(1, 2, 2),
          transformer_layers_per_block=(1, 2, 3), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=6,
          projection_class_embeddings_input_dim=46)
TEXT = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, vocab_size=64, projection_dim=10, bos_token_id=62, eos_token_id=63)


# --- goldens ----------------------------------------------------------------------------------------------------------

def dora() -> dict:
    """DoRA on linear layers and convolutions: the file, and what peft makes of it."""
    unet = base()
    unet.add_adapter(LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["to_q", "conv1", "proj_in"]))
    fill([(n, p) for n, p in unet.named_parameters() if "lora_A" in n or "lora_B" in n], 11, 0.5)
    fill_magnitudes(unet)
    state = {f"unet.{k}": v.contiguous() for k, v in get_peft_model_state_dict(unet).items()}
    meta = json.dumps({"unet.r": 2, "unet.lora_alpha": 3, "unet.use_dora": True})
    save_file(state, HERE / "lora_tools_dora.safetensors", metadata={"format": "pt", "lora_adapter_metadata": meta})
    x = inputs()
    with torch.no_grad():
        return {"dora": unet(x["sample"], x["timestep"], x["encoder_hidden_states"]).sample}


def fill_magnitudes(unet) -> None:
    generator = torch.Generator().manual_seed(12)
    with torch.no_grad():
        for name, p in unet.named_parameters():
            if "magnitude" in name:
                p.mul_(1 + 0.3 * torch.randn(p.shape, generator=generator))


def deltas(path: pathlib.Path) -> dict:
    """Dense delta-W of a diffusers file, alpha from its metadata or the rank."""
    from safetensors import safe_open
    with safe_open(path, "pt") as file:
        meta = json.loads((file.metadata() or {}).get("lora_adapter_metadata", "{}"))
        tensors = {k: file.get_tensor(k) for k in file.keys()}
    out = {}
    for key, down in tensors.items():
        if not key.startswith("unet.") or ".lora_A" not in key and ".lora.down" not in key:
            continue
        old = ".lora.down" in key
        name = key.removeprefix("unet.").split(".lora")[0]
        up = tensors[key.replace(".lora.down", ".lora.up") if old else key.replace("lora_A", "lora_B")]
        alpha = meta.get("unet.lora_alpha", down.shape[0])
        for pattern, value in meta.get("unet.alpha_pattern", {}).items():
            if name.endswith(pattern):
                alpha = value
        out[name] = (alpha / down.shape[0]) * (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])
    return out


def zip_reference(steps=12, rate=0.02, penalty=0.01) -> dict:
    """ZipLoRA written out on dense updates: W + m1 * dW1 + m2 * dW2 by functional_call, torch's Adam."""
    unet = base()
    one, two = deltas(HERE / "lora_peft.safetensors"), deltas(HERE / "lora_old.safetensors")
    weights = {k: v.detach() for k, v in unet.named_parameters()}
    both = sorted(set(one) & set(two))
    m = {(side, n): torch.ones(d[n].shape[1], requires_grad=True) for side, d in (("a", one), ("b", two)) for n in both}
    shaped = lambda c, w: c.view(1, -1, *([1] * (w.dim() - 2)))

    def predict(mode, sample, t, text):
        new = dict(weights)
        for side, d in (("a", one), ("b", two)):
            if mode not in (side, "merged"):
                continue
            for n, w in d.items():
                factor = shaped(m[side, n], w) if mode == "merged" and (side, n) in m else 1
                new[n + ".weight"] = new[n + ".weight"] + factor * w
        return torch.func.functional_call(unet, new, (sample, t, text)).sample

    g = torch.Generator().manual_seed(21)
    data = {"zip_text_a": torch.randn(1, 5, 12, generator=g), "zip_text_b": torch.randn(1, 5, 12, generator=g),
            "zip_a": torch.randn(steps, 4, 8, 8, generator=g), "zip_b": torch.randn(steps, 4, 8, 8, generator=g),
            "zip_t": torch.randint(0, 1000, (steps,), generator=g)}
    optimizer = torch.optim.Adam(m.values(), lr=rate)
    losses = []
    for i in range(steps):
        parts = []
        for side in "ab":
            x = data[f"zip_{side}"][i : i + 1], data["zip_t"][i : i + 1], data[f"zip_text_{side}"]
            with torch.no_grad():
                target = predict(side, *x)
            parts.append(torch.nn.functional.mse_loss(predict("merged", *x), target))
        overlap = sum((m["a", n] * m["b", n]).abs().mean() for n in both)
        optimizer.zero_grad()
        (parts[0] + parts[1] + penalty * overlap).backward()
        optimizer.step()
        losses.append(torch.stack([*parts, overlap]).detach())
    out = {**data, "zip_losses": torch.stack(losses)}
    for n in sorted(set(one) | set(two)):
        total = 0
        for side, d in (("a", one), ("b", two)):
            if n in d:
                total = total + (shaped(m[side, n].detach(), d[n]) if (side, n) in m else 1) * d[n]
        out["zip_delta." + n] = total
    return out


def write() -> None:
    torch.manual_seed(0)
    out = {**dora(), **zip_reference()}
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / "lora_tools_expected.safetensors")


# --- what others accept -----------------------------------------------------------------------------------------------

class Warnings(logging.Handler):
    """Missing and unexpected keys are warnings in diffusers."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def make_model(kind: str, folder: pathlib.Path) -> dict:
    torch.manual_seed(3)
    parts = {"unet": UNet2DConditionModel(**(XL if kind == "sdxl" else SD)), "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT))}
    if kind == "sdxl":
        parts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**TEXT))
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline" if kind == "sdxl" else "StableDiffusionPipeline"}))
    return {name: part.requires_grad_(False).eval() for name, part in parts.items()}


def load_parts(kind: str, folder: pathlib.Path) -> dict:
    classes = {"unet": UNet2DConditionModel, "text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    return {n: c.from_pretrained(folder / n).requires_grad_(False).eval() for n, c in classes.items() if (folder / n).exists()}


def outputs(parts: dict) -> dict:
    g = torch.Generator().manual_seed(9)
    x, text = torch.randn(2, 4, 8, 8, generator=g), torch.randn(2, 5, 12, generator=g)
    added = {"text_embeds": torch.randn(2, 10, generator=g), "time_ids": torch.randn(2, 6, generator=g)}
    ids = torch.randint(0, 60, (2, 7), generator=g)
    with torch.no_grad():
        out = {"unet": parts["unet"](x, torch.tensor([5, 700]), text, added_cond_kwargs=added).sample}
        for name in ("text_encoder", "text_encoder_2"):
            if name in parts:
                out[name] = parts[name](ids)[0]
    return out


def save_source(kind: str, parts: dict, path: pathlib.Path, alpha: float) -> None:
    """A LoRA on everything, as diffusers' own scripts write it."""
    layers = {}
    for i, (name, part) in enumerate(parts.items()):
        targets = WIDE if name == "unet" else ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
        part.add_adapter(LoraConfig(r=4, lora_alpha=alpha, target_modules=targets))
        fill([(n, p) for n, p in part.named_parameters() if "lora_" in n], 31 + i, 0.3)
        config = {k: (sorted(v) if isinstance(v, set) else v) for k, v in part.peft_config["default"].to_dict().items() if v is not None}
        short = "unet" if name == "unet" else name
        layers[f"{short}_lora_layers"] = get_peft_model_state_dict(part)
        layers[f"{short}_lora_adapter_metadata"] = {k: config[k] for k in ("r", "lora_alpha", "target_modules")}
    pipeline = StableDiffusionXLPipeline if kind == "sdxl" else StableDiffusionPipeline
    pipeline.save_lora_weights(str(path.parent), weight_name=path.name, **layers)


def load_like_pipelines(kind: str, folder: pathlib.Path, path: pathlib.Path) -> dict:
    parts = load_parts(kind, folder)
    pipeline = StableDiffusionXLPipeline if kind == "sdxl" else StableDiffusionPipeline
    extra = {"unet_config": parts["unet"].config} if kind == "sdxl" else {}
    state, alphas, metadata = pipeline.lora_state_dict(str(path), return_lora_metadata=True, **extra)
    pipeline.load_lora_into_unet(state, alphas, parts["unet"], metadata=metadata)
    for name in parts:
        if name != "unet":
            pipeline.load_lora_into_text_encoder(state, alphas, parts[name], prefix=name, metadata=metadata)
    return parts


def worst(got: dict, expected: dict) -> float:
    return max(((got[k] - expected[k]).abs().max() / expected[k].abs().max()).item() for k in expected)


def accept(palate: str) -> int:
    handler = Warnings()
    logging.getLogger("diffusers").addHandler(handler)
    logging.getLogger("peft").addHandler(handler)
    run = lambda *words: subprocess.run([palate, "lora", *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bad = 0

    def report(kind, what, error):
        nonlocal bad
        keys = [t for t in handler.texts if "issing" in t or "nexpected" in t or "not found" in t.lower()]
        ok = error < 1e-5 and not keys
        bad += not ok
        print(f"{kind:5} {what:34} relative error {error:.1e}, key warnings {len(keys)}{'' if ok else '  <-- ' + ' | '.join(keys)[:300]}")
        handler.texts.clear()

    for kind in ("sd15", "sdxl"):
        with tempfile.TemporaryDirectory() as name:
            work = pathlib.Path(name)
            folder = work / "model"
            parts = make_model(kind, folder)
            source = work / "source.safetensors"
            save_source(kind, parts, source, 6)
            expected = outputs(parts)
            report(kind, "diffusers' own file", worst(outputs(load_like_pipelines(kind, folder, source)), expected))
            for spelling in ("diffusers", "kohya") + (("kohya-sgm",) if kind == "sdxl" else ()):
                for model in ([], ["--model", folder]):
                    out = work / f"{spelling}.safetensors"
                    # sgm names of up-samplers depend on the model
                    if spelling == "kohya-sgm" and not model:
                        continue
                    run("convert", source, out, "--to", spelling, *model)
                    report(kind, f"{spelling}{' --model' if model else ''}", worst(outputs(load_like_pipelines(kind, folder, out)), expected))
            run("convert", work / "kohya.safetensors", work / "back.safetensors", "--to", "diffusers")
            first, back = load_file(source), load_file(work / "back.safetensors")
            classic = {k.replace("text_encoder.encoder", "text_encoder.text_model.encoder"): v for k, v in first.items()}  # the name before transformers 5
            same = classic.keys() == back.keys() and all(torch.equal(v, back[k]) for k, v in classic.items())
            print(f"{kind:5} diffusers -> kohya -> diffusers: {len(back)} of {len(first)} tensors, equal to the bit: {same}")
            bad += not same
            run("convert", source, work / "peft", "--to", "peft")
            peft_parts = {n: PeftModel.from_pretrained(p, work / "peft" / n) for n, p in load_parts(kind, folder).items()}
            report(kind, "peft", worst(outputs(peft_parts), expected))
            run("verify", source, "--model", folder)
            run("merge", source, "--model", folder, "--out", work / "merged")
            report(kind, "merged weights, no adapter", worst(outputs(load_parts(kind, work / "merged")), expected))
            run("merge", source, f"{source}:-0.5", "--out", work / "half.safetensors", "--exact")
            run("resize", work / "half.safetensors", "--rank", "4", "--out", work / "small.safetensors")
            run("merge", source, "--out", work / "same.safetensors", "--rank", "4")
            report(kind, "merge --rank 4 of one", worst(outputs(load_like_pipelines(kind, folder, work / "same.safetensors")), expected))
            half, small = (outputs(load_like_pipelines(kind, folder, work / f"{n}.safetensors")) for n in ("half", "small"))
            report(kind, "sum of two, resized to its true rank", worst(small, half))
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--accept", metavar="PALATE")
    arguments = parser.parse_args()
    if arguments.accept:
        sys.exit(accept(arguments.accept))
    write()
