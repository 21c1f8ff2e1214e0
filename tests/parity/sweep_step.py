#!/usr/bin/env python3
"""Compares `palate step` with diffusers, peft and torch's float64 on random tiny models, for every loss and error space.

    sweep_step.py --palate build/palate [--methods dpo,cpo] [--spaces output] [--first SEED] [--count N] [--tolerance 1e-5] [--show]

A seed draws a model (SD1.5-like, v-prediction or SDXL-like), its LoRA, a batch, and for each method its constants. Everything is written
down once more here, in the fewest words: a method is a function of `Seen`, what policy and reference made of the pictures, and gives its
losses; a space embeds a prediction (both in step_methods.py). Compared are loss, losses, logits, errors, terms and every gradient of the
LoRA, each by the largest difference over the tensor's largest value, with the true one in float64. Where that is above the tolerance,
torch's own float32 is asked, also on numbers moved by a rounding error: a case is ill-conditioned, not wrong, where palate is no further
from float64 than four times that. Differences of errors cancel, perception magnifies rounding, and there are but a few numbers, whose
errors scatter. Exit status 1 if anything was wrong.
"""
import argparse
import collections
import inspect
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden"))
from golden_file import in_float64  # noqa: E402
from step_methods import METHODS, SPACES, Seen  # noqa: E402
from step_world import Computed, Draw, World, file_of, lora_parameters  # noqa: E402

POLICIES = ["uniform", "turbo", "logit-normal", "importance"]  # timesteps are given: none of these may change anything


def evaluate(computed, method, space, constants):
    """What palate should write, by name."""
    s = Seen(computed, space, constants, "base_" if method.kind == "single" else "")
    own = {name: value for name, value in constants.items() if name in inspect.signature(method.function).parameters}
    losses, logits = method.function(s, **own)
    if method.kind == "single":
        losses = s.w * losses
    loss = losses.sum() / (len(losses) if s.count is None else s.count)
    parameters = lora_parameters(computed.networks["policy"])
    gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
    out = {"grad." + name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(parameters.items(), gradients, strict=True)}
    out |= dict(losses=losses, loss=loss, **s.shown, **({} if logits is None else {"logits": logits}))
    out |= {"terms." + name: value for name, value in s.terms.items()}
    out |= {f"{network}_{view}": s.d(network, view) for network, view in s.asked}
    return {name: value.detach() for name, value in out.items()}


def largest_error(got, want):
    """Of all tensors, each by its own largest value; a gradient by 1 % of the largest of all gradients at least. And which it is."""
    largest, worst = max(value.abs().max().item() for name, value in want.items() if name.startswith("grad.")), (0, "")
    for name, value in want.items():
        scale = max(value.abs().max().item(), 1e-2 * largest if name.startswith("grad.") else 0, 1e-12)
        wrong = name not in got or got[name].shape != value.shape
        error = torch.inf if wrong else torch.nan_to_num((got[name].double() - value.double()).abs().max() / scale, nan=torch.inf).item()
        worst = max(worst, (error, name))
    return worst


def run_palate(program, method, space, constants, folder):
    settings = [f"error_space={space}", *(f"{name}={value}" for name, value in constants.items())]
    command = [program, "step", "--model", "model", "--lora", "lora.safetensors", "--in", f"{method.kind}.safetensors", "--out", "out.safetensors"]
    done = subprocess.run([*command, "--objective", method.objective, *settings], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        return None, f"refused: {' '.join(done.stderr.split())} (exit status {done.returncode})"
    return load_file(f"{folder}/out.safetensors"), ""


def draw_constants(r, method, others):
    constants = {name: r.value(what) for name, what in (method.draws | others).items()}
    if method.kind == "pair" and r.random() < 0.3:
        constants["safeguard"] = r.choice([0.1, 0.6, 0.9])
    if constants.get("beta_convention") == "per-T":
        constants["beta"] = constants["beta"] / 1000
    return constants


def compare(program, method, space, constants, singles, double, folder, tolerance):
    """What came of it (equal, ill-conditioned, wrong, refused), the worst error, and what to say."""
    got, refusal = run_palate(program, method, space, constants, folder)
    if got is None:
        return "refused", 0, refusal
    with in_float64():
        truth = evaluate(double(), method, space, constants)
    error, name = largest_error(got, truth)
    if error <= tolerance:
        return "equal", error, f"{name} error {error:.2g}"
    theirs = 0
    for single in singles:
        theirs = max(theirs, largest_error(evaluate(single(), method, space, constants), truth)[0])
        if error <= 4 * theirs:
            break
    said = f"{name} error {error:.2g}; from float64 torch's float32 is {theirs:.2g}"
    return ("ill-conditioned" if error <= 4 * theirs else "wrong"), error, said


def once(world, jitter=None):
    kept = []
    return lambda: (kept or kept.append(Computed(world, jitter)) or kept)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--palate", type=os.path.abspath, required=True)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--spaces", type=lambda text: text.split(","), default=list(SPACES))
    for flag, default in {"--first": 0, "--count": 20, "--tolerance": 1e-5}.items():
        parser.add_argument(flag, type=type(default), default=default)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    logging.disable()
    torch.set_num_threads(1)
    tally, worst = collections.Counter(), 0
    for seed in range(args.first, args.first + args.count):
        world = World(Draw(seed))
        with tempfile.TemporaryDirectory() as folder:
            world.save(folder)
            for kind in ("pair", "label", "single"):
                save_file(file_of(world.given, kind), f"{folder}/{kind}.safetensors")
            double, singles = once(world), [once(world, jitter) for jitter in (None, 1, 2, 3)]
            for name in args.methods:
                for space in args.spaces:
                    constants = draw_constants(Draw(f"{seed} {name} {space}"), METHODS[name], SPACES[space].draws | {"timesteps": POLICIES})
                    verdict, error, said = compare(args.palate, METHODS[name], space, constants, singles, double, folder, args.tolerance)
                    tally[verdict] += 1
                    worst = max(worst, error if verdict == "equal" else 0)
                    if args.show or verdict in ("wrong", "refused"):
                        print(f"{seed} {world.kind} {name} {space} {verdict}: {said} {json.dumps(constants)}", flush=True)
    print(f"{', '.join(f'{tally[name]} {name}' for name in ('equal', 'ill-conditioned', 'wrong', 'refused'))}; worst error of the equal {worst:.2g}")
    raise SystemExit(tally["wrong"] + tally["refused"] > 0)


if __name__ == "__main__":
    main()
