"""Goldens of the reader of torch.save's files: small ones of both formats in pickle/, what torch.load gives for each in pickle/expected.safetensors
("FILE:NAME"), and files that must be refused. Run with a Python that has torch and safetensors."""
import collections
import functools
import pathlib
import shutil

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "pickle"
G = torch.Generator().manual_seed(5)
expected = {}


def draw(*shape):
    return torch.randn(shape, generator=G)


def put(name, value, tensors, **options):
    torch.save(value, OUT / name, **options)
    for key, tensor in tensors.items():
        expected[f"{name}:{key}"] = tensor.detach().contiguous().clone()


def dtypes():
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
             torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]
    tensors = {str(kind).removeprefix("torch."): torch.tensor([0, 1, 2, 3, 1]).to(kind) for kind in kinds}
    put("dtypes.pt", tensors, tensors)
    old = {name: tensor for name, tensor in tensors.items() if not name.startswith(("uint16", "uint32", "uint64", "float8"))}
    put("dtypes_old.pt", old, old, _use_new_zipfile_serialization=False)


def views():
    base = draw(4, 6)
    state = collections.OrderedDict(
        {"base": base, "transposed": base.t(), "column": base[:, 2], "steps": base[::2, 1::3], "parameter": torch.nn.Parameter(draw(2, 3)),
         "buffer.scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "channels_last": draw(2, 3, 2, 2).to(memory_format=torch.channels_last),
         "same": base})
    whole = {"state_dict": state, "global_step": 875000, "epoch": 3, "lr": 0.5, "name": "tiny", "done": True, "optimizer_states": [{"state": {0: draw(3)}}], "none": None}
    put("views.ckpt", whole, state)
    put("views_old.ckpt", whole, state, _use_new_zipfile_serialization=False)


def shapes_of_objects():
    halves = [draw(3, 2).half(), draw(2, 4).half(), draw(5).half()]
    put("list.pt", halves, {str(i): tensor for i, tensor in enumerate(halves)})
    nested = {"clip_l": {"weights": (draw(2), [draw(3)]), 7: draw(1)}, "note": "text"}
    flat = {"clip_l.weights.0": nested["clip_l"]["weights"][0], "clip_l.weights.1.0": nested["clip_l"]["weights"][1][0], "clip_l.7": nested["clip_l"][7]}
    put("nested.bin", nested, flat)
    put("protocol4.bin", nested, flat, pickle_protocol=4)
    put("protocol4_old.bin", nested, flat, pickle_protocol=4, _use_new_zipfile_serialization=False)
    lone = draw(2, 2)
    put("lone.pt", lone, {"tensor": lone})
    linear = torch.nn.Linear(3, 2)
    put("module_state.bin", linear.state_dict(), linear.state_dict())
    put("module_state_old.bin", linear.state_dict(), linear.state_dict(), _use_new_zipfile_serialization=False)


def refused():
    put("refused_module.pt", torch.nn.Linear(2, 2), {})
    put("refused_function.pt", {"call": functools.partial(print, "run")}, {})
    put("refused_expanded.pt", draw(1).expand(1000), {})


if __name__ == "__main__":
    torch.manual_seed(5)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    dtypes(), views(), shapes_of_objects(), refused()
    save_file(expected, OUT / "expected.safetensors")
    print(len(expected), "tensors,", sum(file.stat().st_size for file in OUT.iterdir()), "bytes")
