#!/usr/bin/env python3
"""Small LoRAs of the fuzz target's layers, one file a spelling. Usage: make_seeds.py, needs torch and safetensors."""
import json
import math
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "seeds"
BLOCK = "down_blocks.1.attentions.0."
Q, PROJ, CONV = BLOCK + "transformer_blocks.0.attn1.to_q", BLOCK + "proj_in", "down_blocks.0.resnets.0.conv1"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"
RANK = 2


def wave(*shape):
    return torch.arange(math.prod(shape)).float().mul(0.37).sin().view(shape)


def halves(out, width, kernel=None):
    """A and B of a linear layer, or of a convolution."""
    if kernel is None:
        return wave(RANK, width), wave(out, RANK)
    return wave(RANK, width, kernel, kernel), wave(out, RANK, 1, 1)


LAYERS = {("unet", Q): halves(6, 5), ("unet", PROJ): halves(4, 4, 1), ("unet", CONV): halves(3, 2, 3), ("text_encoder", TEXT): halves(4, 4)}


def save(name, tensors, metadata=None):
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / f"{name}.safetensors", metadata)


def dotted(prefix, down, up):
    return {prefix(part) + module + end: half for (part, module), pair in LAYERS.items() for end, half in zip((down, up), pair)}


def kohya(names):
    out = {}
    for name, (down, up) in names.items():
        out |= {name + ".lora_down.weight": down, name + ".lora_up.weight": up, name + ".alpha": torch.tensor(1.5)}
    return out


def main():
    HERE.mkdir(exist_ok=True)
    peft = {"unet.r": 2, "unet.lora_alpha": 3, "unet.alpha_pattern": {"to_q": 1}, "unet.use_rslora": False, "text_encoder.lora_alpha": 4}
    a, b = ".lora_A.weight", ".lora_B.weight"
    save("diffusers", dotted(lambda part: part + ".", a, b), {"format": "pt", "lora_adapter_metadata": json.dumps(peft)})
    save("peft", {k: v.half() for k, v in dotted(lambda part: "base_model.model.", a, b).items()})
    save("older", dotted(lambda part: part + ".", ".lora.down.weight", ".lora.up.weight"))
    down, up = LAYERS["unet", Q]
    old = Q.replace(".to_q", ".processor.to_q_lora")
    save("oldest", {old + ".down.weight": down, old + ".up.weight": up})
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_"}
    names = {prefix[part] + module.replace(".", "_"): pair for (part, module), pair in LAYERS.items()}
    names["lora_te2_" + TEXT.replace(".", "_")] = halves(4, 4)
    save("kohya", kohya(names), {"ss_network_dim": "2", "ss_network_alpha": "1.5"})
    sgm = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    save("sgm", {k: v.bfloat16() for k, v in kohya({sgm: LAYERS["unet", Q]}).items()})
    conv, proj = ("lora_unet_" + name.replace(".", "_") for name in (CONV, PROJ))
    locon = kohya({conv: (wave(RANK, 2, 1, 1), wave(3, RANK, 1, 1)), proj: halves(4, 4)})
    save("locon", locon | {conv + ".lora_mid.weight": wave(RANK, RANK, 3, 3)})
    q = "lora_unet_" + Q.replace(".", "_")
    save("dora", kohya({q: LAYERS["unet", Q]}) | {q + ".dora_scale": wave(6, 1), q + ".lora_down.weight": down})
    magnitude = {"unet." + Q + ".lora_magnitude_vector": wave(6)}
    save("dora_peft", {"unet." + Q + a: down, "unet." + Q + b: up} | magnitude)


if __name__ == "__main__":
    main()
