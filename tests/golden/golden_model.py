# What make_unet.py, make_vae.py and make_clip.py share: tiny models with weights that bf16 holds exactly (so they are stored
# in half the space), run in float64, so that a golden value is the true one and not another float32 rounding of it.
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent


def fill(model, seed):
    """Weights small enough that diffusers' own float32 stays within the tests' 1e-5 of its float64; norms away from their
    1 and 0, so that a mixed-up one is seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            scale = 0.3 if parameter.dim() == 1 else 0.5 / max(1, parameter[0].numel()) ** 0.5
            values = torch.randn(parameter.shape, generator=generator) * scale
            if parameter.dim() == 1 and name.endswith("weight"):
                values += 1
            parameter.copy_(values.bfloat16())
    return model.double().eval()


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def store(name, model, config, base, tensors, rename=lambda name: name):
    """FOLDER/config.json and FOLDER/BASE.safetensors, a model folder like any other, and expected.safetensors beside them."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {rename(key): value.detach().bfloat16().contiguous() for key, value in model.named_parameters()}
    save_file(weights, folder / f"{base}.safetensors", metadata={"format": "pt"})
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            tensors["grad." + rename(key)] = parameter.grad
    tensors = {key: (value if value.dtype == torch.int64 else value.detach().float()).contiguous() for key, value in tensors.items()}
    save_file(tensors, folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, {size} bytes")
