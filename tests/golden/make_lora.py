#!/usr/bin/env python3
"""LoRA goldens: a tiny U-Net, adapters on linear layers and convolutions in every spelling, and what diffusers + peft make of them.

  make_lora.py                   writes tiny_model/ and lora_*.safetensors beside this file
  make_lora.py --verify FOLDER   loads the files that Palate saved in FOLDER (parity_adapters leaves them in
                                 build/tmp/parity_adapters/saved) into diffusers and compares with Palate's own output there
Needs: pip install torch diffusers peft safetensors
"""
import argparse
import json
import pathlib
import sys

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, safe_open, save_file

HERE = pathlib.Path(__file__).parent
MODEL = HERE / "tiny_model"
CONFIG = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
              down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
              cross_attention_dim=12, attention_head_dim=2)
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
CONVOLUTIONS = ["conv_in", "conv1", "conv_shortcut", "downsamplers.0.conv", "proj_in", "time_emb_proj", "ff.net.0.proj"]


def fill(tensors, seed: int, scale: float = 1.0) -> None:
    """Values from a seed, tensor by tensor in a fixed order; norms keep weights near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in tensors:
            noise = torch.randn(tensor.shape, generator=generator)
            fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
            if "norm" in name and name.endswith("weight"):
                tensor.copy_(1 + 0.1 * noise)
            else:
                tensor.copy_(scale * (noise / fan_in**0.5 if tensor.dim() > 1 else 0.1 * noise))


def base() -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_pretrained(MODEL / "unet")
    return unet.requires_grad_(False).eval()


def inputs() -> dict:
    g = torch.Generator().manual_seed(5)
    return dict(sample=torch.randn(2, 4, 8, 8, generator=g), timestep=torch.tensor([7, 801]),
                encoder_hidden_states=torch.randn(2, 5, 12, generator=g))


def predict(unet, x) -> torch.Tensor:
    with torch.no_grad():
        return unet(x["sample"], x["timestep"], x["encoder_hidden_states"]).sample


def load_as_pipelines_do(path: pathlib.Path) -> UNet2DConditionModel:
    """What StableDiffusionPipeline.load_lora_weights does for its U-Net."""
    unet = base()
    state, alphas, metadata = StableDiffusionPipeline.lora_state_dict(str(path), return_lora_metadata=True)
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet, metadata=metadata)
    return unet


def adapted(targets, rank, alpha, seed, **patterns) -> UNet2DConditionModel:
    unet = base()
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=targets, **patterns))
    fill([(n, p) for n, p in unet.named_parameters() if "lora_" in n], seed, 0.25)
    return unet


def write() -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**CONFIG)
    fill(unet.named_parameters(), 1)
    unet.save_pretrained(MODEL / "unet")
    DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False).save_pretrained(MODEL / "scheduler")
    x = inputs()
    out = {**x, "base": predict(base(), x)}

    # peft with metadata: alpha that is not the rank, one layer kind with another rank and alpha.
    unet = adapted(ATTENTION + CONVOLUTIONS, 3, 6, 2, rank_pattern={"conv1": 2}, alpha_pattern={"to_v": 1.5})
    state = get_peft_model_state_dict(unet)
    config = {k: (sorted(v) if isinstance(v, set) else v) for k, v in unet.peft_config["default"].to_dict().items() if v is not None}
    StableDiffusionPipeline.save_lora_weights(str(HERE), unet_lora_layers=state, weight_name="lora_peft.safetensors",
                                              unet_lora_adapter_metadata={k: config[k] for k in ("r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern")})
    out["peft"] = predict(unet, x)
    assert torch.allclose(predict(load_as_pipelines_do(HERE / "lora_peft.safetensors"), x), out["peft"], atol=1e-6)

    # The same tensors without metadata: alpha is the rank.
    save_file({f"unet.{k}": v.contiguous() for k, v in state.items()}, HERE / "lora_plain.safetensors", metadata={"format": "pt"})
    out["plain"] = predict(load_as_pipelines_do(HERE / "lora_plain.safetensors"), x)

    # peft's own names, with the adapter's name in the key as in memory.
    save_file({"base_model.model." + k.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default."): v.contiguous()
               for k, v in state.items()}, HERE / "lora_native.safetensors")

    # kohya: underscores, explicit alpha.
    kohya = {}
    for key, value in state.items():
        module, half = key.split(".lora_")
        name = "lora_unet_" + module.replace(".", "_")
        kohya[f"{name}.lora_{'down' if half[0] == 'A' else 'up'}.weight"] = value.contiguous()
        kohya[f"{name}.alpha"] = torch.tensor(1.5)
    save_file(kohya, HERE / "lora_kohya.safetensors", metadata={"ss_network_module": "networks.lora"})
    out["kohya"] = predict(load_as_pipelines_do(HERE / "lora_kohya.safetensors"), x)

    # Older and oldest diffusers: attention only, as their scripts made them.
    unet = adapted(ATTENTION, 2, 2, 3)
    state = get_peft_model_state_dict(unet)
    old, oldest = {}, {}
    for key, value in state.items():
        module, half = key.split(".lora_")
        way = "down" if half[0] == "A" else "up"
        old[f"unet.{module}.lora.{way}.weight"] = value.contiguous()
        path, projection = module.rsplit(".attn", 1)[0], module.rsplit(".attn", 1)[1]
        number, projection = projection[0], projection[2:].removesuffix(".0")
        oldest[f"{path}.attn{number}.processor.{projection}_lora.{way}.weight"] = value.contiguous()
    save_file(old, HERE / "lora_old.safetensors")
    save_file(oldest, HERE / "lora_oldest.safetensors")
    out["old"] = predict(unet, x)
    assert torch.allclose(predict(load_as_pipelines_do(HERE / "lora_old.safetensors"), x), out["old"], atol=1e-6)
    check = base()
    check.load_lora_adapter({"unet." + k: v for k, v in load_file(HERE / "lora_oldest.safetensors").items()}, prefix="unet")
    assert torch.allclose(predict(check, x), out["old"], atol=1e-6)
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / "lora_outputs.safetensors")


def verify(folder: pathlib.Path) -> int:
    worst = 0.0
    for name in ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.kohya.safetensors"):
        got = load_file(folder / "output.safetensors")["output"]
        expected = predict(load_as_pipelines_do(folder / name), inputs())
        error = ((got - expected).abs().max() / expected.abs().max()).item()
        worst = max(worst, error)
        with safe_open(folder / name, "pt") as file:
            meta = file.metadata() or {}
        rank = json.loads(meta["lora_adapter_metadata"])["unet.r"] if "lora_adapter_metadata" in meta else meta.get("ss_network_dim")
        print(f"{name}: rank {rank}, relative error {error:.2e}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--verify", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.verify:
        sys.exit(verify(arguments.verify))
    write()
