# What make_unet.py, make_vae.py and make_clip.py share: tiny models with weights that bf16 holds exactly (so they are stored
# in half the space), run in float64, so that a golden value is the true one and not another float32 rounding of it, and in float32
# for the error beside it (golden_file.py).
import copy
import json
import shutil

import torch
from safetensors.torch import save_file

from golden_file import HERE, relative_error


def fill(model, seed):
    """Weights small enough that diffusers' own float32 stays within the tests' 1e-5 of its float64; norms away from their
    1 and 0, so that a mixed-up one is seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            scale = 0.3 if parameter.dim() <= 1 else 0.5 / max(1, parameter[0].numel()) ** 0.5
            values = torch.randn(parameter.shape, generator=generator) * scale
            if parameter.dim() == 1 and name.endswith("weight"):
                values += 1
            parameter.copy_(values.bfloat16())
    return model.double().eval()


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradient_error(got, exact):
    """The worst of all gradients, each measured as tests/parity/models/gradients.cpp does."""
    largest = max(value.abs().max().item() for value in exact.values())
    return max((got[key].double() - value).abs().max().item() / max(value.abs().max().item(), 1e-2 * largest) for key, value in exact.items())


def store(name, model, config, base, compute, rename=lambda name: name):
    """FOLDER/config.json and FOLDER/BASE.safetensors, a model folder like any other, and beside them expected.safetensors: what compute(model) gives
    (and leaves as gradients), with the errors of the same in float32; that of all gradients is called "grad"."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {rename(key): value.detach().bfloat16().contiguous() for key, value in model.named_parameters()}
    save_file(weights, folder / f"{base}.safetensors", metadata={"format": "pt"})
    runs, gradients = [], []
    for each in (copy.deepcopy(model).float(), model):
        runs.append(compute(each))
        gradients.append({"grad." + rename(key): parameter.grad for key, parameter in each.named_parameters() if parameter.grad is not None})
    errors = {key: relative_error(runs[0][key], value) for key, value in runs[1].items() if value.is_floating_point()}
    errors["grad"] = gradient_error(*gradients)
    tensors = {key: (value if value.dtype == torch.int64 else value.detach().float()).contiguous() for key, value in (runs[1] | gradients[1]).items()}
    save_file(tensors, folder / "expected.safetensors", metadata={key: f"{error:.2e}" for key, error in errors.items() if error > 0})
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, {size} bytes", {key: f"{error:.1e}" for key, error in errors.items() if error > 0})
