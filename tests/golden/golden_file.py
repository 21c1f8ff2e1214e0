# How a golden value is stored so that it serves every machine: with the error that the reference itself makes, in the file's metadata
# by the tensor's name. Processors round float32 differently, and how far apart that leaves two right results depends on what is
# computed, so it is measured, in one of two ways:
#   in_both        the value is the reference's in float64, the error is that of the same reference in float32;
#   under_settings the value is the reference's in float32, the error is the widest that the same has under the settings below. This is
#                  for schedulers, whose float32 decides: a timestep that is rounded to a whole number may fall otherwise in float64.
# tests/support/golden_file.h names the factor that Palate is allowed over it.
import contextlib
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
KINDS = ("ddim", "ddpm", "dpmsolver_multistep", "euler_ancestral_discrete", "euler_discrete", "heun_discrete", "lcm", "pndm", "unipc_multistep")
MODULES = [importlib.import_module("diffusers." + name) for name in ("models.embeddings", *("schedulers.scheduling_" + kind for kind in KINDS))]

# What makes libtorch and numpy round as on other processors: no vectors, vectors of other widths, MKL and oneDNN without the newest instructions.
SETTINGS = (
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "NPY_DISABLE_CPU_FEATURES": "X86_V4"},
    {"MKL_CBWR": "COMPATIBLE", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"},
    {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
)


def draw(*shape, generator=None):
    """Normal numbers, the same in either precision and under every setting: the rounding of what is drawn in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(torch.float32).to(torch.get_default_dtype())


class Doubled:
    """torch or numpy as those modules of diffusers see it: where they ask for float32 by name they get float64."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, "float64" if name == "float32" else name)


@contextlib.contextmanager
def in_float64():
    """New tensors are float64, and what asks for float32 in diffusers' schedulers and embeddings of timesteps, or by Tensor.float(), gets it too."""
    saved = [(module, name, vars(module)[name]) for module in MODULES for name in ("torch", "np") if name in vars(module)]
    single = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    try:
        for module, name, value in saved:
            setattr(module, name, Doubled(value))
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.Tensor.float = single
        for module, name, value in saved:
            setattr(module, name, value)


def calm(pipe):
    """tiny_pipeline's and tiny_pipeline_xl's text encoders are drawn so wide that their softmax picks one token, where rounding is magnified; and the
    mean of what they give, by which weighted prompts divide, is rounding alone. This makes them well conditioned; tests/support/calm_model.h does the same."""
    encoders = [getattr(pipe, name) for name in ("text_encoder", "text_encoder_2") if getattr(pipe, name, None) is not None]
    with torch.no_grad():
        for encoder in encoders:
            for name, parameter in encoder.named_parameters():
                if name.endswith(("q_proj.weight", "k_proj.weight")):
                    parameter *= 1 / 16 if len(encoders) == 1 else 1 / 4
                elif name.endswith("final_layer_norm.bias"):
                    parameter += 1
    return pipe


def in_both(compute):
    """What compute() gives, by name, in float64, and a list of what it gives in float32."""
    with in_float64():
        exact = compute()
    return exact, [compute()]


def under_settings(compute):
    """What compute() gives, by name, and a list of what it gives in processes of their own under each of SETTINGS."""
    if len(sys.argv) == 3 and sys.argv[1] == "--under-setting":
        save_file({key: value.contiguous() for key, value in compute().items()}, sys.argv[2])
        sys.exit(0)
    others = []
    with tempfile.TemporaryDirectory() as folder:
        for setting in SETTINGS:
            path = os.path.join(folder, "computed.safetensors")
            subprocess.run([sys.executable, sys.argv[0], "--under-setting", path], env={**os.environ, **setting}, check=True)
            others.append(load_file(path))
    return compute(), others


def relative_error(got, expected, by_row=False):
    """max |got - expected| over max |expected|; by row, the worst of the rows, each measured by its own largest entry."""
    if by_row:
        return max(relative_error(a, b) for a, b in zip(got, expected, strict=True))
    got, expected = got.detach().double(), expected.detach().double()
    worst, scale = (got - expected).abs().max().item(), expected.abs().max().item()
    return worst / scale if scale > 0 else worst


def write(name, values, others, by_row=lambda key: False):
    """The values, in float32, each with the largest of the others' errors."""
    errors = {}
    for key, value in values.items():
        for other in others:
            assert value.shape == other[key].shape, key
            if not value.is_floating_point():
                assert value.equal(other[key]), key
                continue
            assert value.isfinite().all() and other[key].isfinite().all(), key
            errors[key] = max(errors.get(key, 0), relative_error(other[key], value, by_row(key)))
    stored = {key: (value.detach().float() if value.is_floating_point() else value).contiguous() for key, value in values.items()}
    save_file(stored, HERE / name, metadata={key: f"{error:.2e}" for key, error in errors.items() if error > 0})
    worst = sorted(errors, key=lambda key: -errors[key])[:6]
    print(name, len(values), "tensors; the reference's largest errors:", ", ".join(f"{key} {errors[key]:.1e}" for key in worst))
