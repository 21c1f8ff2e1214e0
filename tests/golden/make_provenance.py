"""PROVENANCE.json: what the golden files of this folder were made with, by which commands and from which seeds. ./run golden writes it with them."""
import importlib.metadata
import json
import pathlib
import platform
import re

import torch

HERE = pathlib.Path(__file__).parent
PACKAGES = ("torch", "diffusers", "transformers", "peft", "numpy", "safetensors", "tokenizers", "pyarrow", "scipy", "lion-pytorch", "prodigyopt", "bitsandbytes")
SEED = re.compile(r"(?:manual_seed|default_rng)\((\d+)\)|\b(\d{3}) \+ index")


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main():
    scripts = {}
    for path in sorted(HERE.glob("make_*.py")):
        if path.name != pathlib.Path(__file__).name:
            seeds = sorted({int(a or b) for a, b in SEED.findall(path.read_text())})
            command = f"python tests/golden/{path.name}" + (" lpw_stable_diffusion.py" if path.name == "make_prompts.py" else "")
            scripts[path.name] = {"command": command, "seeds": seeds}
    made = {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}
    written = {"packages": made, "processor": processor(), "cpu_capability": torch.backends.cpu.get_cpu_capability(), "scripts": scripts}
    (HERE / "PROVENANCE.json").write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
