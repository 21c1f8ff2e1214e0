#!/usr/bin/env python3
"""What the tiny runs log at every step (loss, gradient norm, held-out accuracy ...) is held to tests/golden/curves/NAME.txt.

    curves.py check BUILD/palate [NAME ...]    exit status 1 where a number is further away than the file allows
    curves.py write BUILD/palate [NAME ...]    makes the files again: after a change that is meant to change numbers, and no other

A file has one line for each number: step, name, value, bound. The bounds are measured, not chosen: `write` makes every run under each of
SETTINGS, which let libtorch round as other machines do (other vector lengths, matrix libraries held to other instructions). A
number's bound is FACTOR times the largest distance between two of these runs up to its step, for a difference that has come in stays
in the weights; and no less than ROUNDING times the curve's largest value. An accuracy may differ by one example, whose margin is as
good as zero. A metric that the file does not know is not compared.
"""
import argparse
import concurrent.futures
import math
import os
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_runs  # noqa: E402

CURVES = tiny_runs.REPOSITORY / "tests/golden/curves"
SETTINGS = [{}, {"ATEN_CPU_CAPABILITY": "default"}, {"ATEN_CPU_CAPABILITY": "avx2"}, {"MKL_CBWR": "COMPATIBLE"},
            {"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}]
FACTOR = 8       # processors differ by more than one machine can imitate
ROUNDING = 1e-6  # 8 units in the last place of a float32
ONE_EXAMPLE = {"held_out/accuracy": 1 / 6, "implicit_acc": 1 / 3, "rewards/accuracies": 1 / 3}


def curve(program, name, folder, setting=None):
    """{(step, metric): value} of one run."""
    output = folder / f"{name}-run"
    tiny_runs.call(tiny_runs.command(program, name, folder / "data", output, ["threads=1"]), environment=setting)
    return {(step, metric): value for step, values in tiny_runs.read_metrics(output) for metric, value in values.items()}


def curves(program, names, setting=None):
    with tempfile.TemporaryDirectory(prefix="palate-curves-") as scratch:
        folder = pathlib.Path(scratch)
        tiny_runs.make_data(folder / "data")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(names, pool.map(lambda name: curve(program, name, folder, setting), names)))


def bounds(runs):
    """Of each number of runs[0], from its spread over all runs."""
    spread = {key: max(run[key] for run in runs) - min(run[key] for run in runs) for key in runs[0]}
    found = {}
    for step, metric in runs[0]:
        so_far = max(value for (s, m), value in spread.items() if m == metric and s <= step)
        largest = max(abs(value) for (_, m), value in runs[0].items() if m == metric)
        found[step, metric] = max(FACTOR * so_far, ROUNDING * largest, ONE_EXAMPLE.get(metric, 0) * (1 + ROUNDING))
    return found


def write(program, names):
    made = [curves(program, names, setting) for setting in SETTINGS]
    for name in names:
        runs = [run[name] for run in made]
        limit = bounds(runs)
        model, _, settings = tiny_runs.CURVES[name]
        text = [f"# palate train on {model.name}: {' '.join(settings)}",
                f"# By tests/e2e/train/curves.py. A bound is {FACTOR} times the spread over {len(runs)} ways to round, up to the step.",
                "# step name value bound"]
        text += [f"{step} {metric} {value:.9g} {limit[step, metric]:.1e}" for (step, metric), value in runs[0].items()]
        (CURVES / f"{name}.txt").write_text("\n".join(text) + "\n")
        print(f"{name}: {len(text) - 3} numbers, loss within {limit[tiny_runs.STEPS, 'loss']:.1e}")


def read(name):
    """{(step, metric): (value, bound)} of a file."""
    lines = [line.split() for line in (CURVES / f"{name}.txt").read_text().splitlines() if not line.startswith("#")]
    return {(int(step), metric): (float(value), float(bound)) for step, metric, value, bound in lines}


def faults(name, found):
    """A sentence for each number that is not as the file says."""
    for (step, metric), (value, bound) in read(name).items():
        got = found.get((step, metric), math.nan)
        if not abs(got - value) <= bound:
            yield f"{name}: step {step}: {metric} is {got:.9g}, expected {value:.9g} within {bound:.1e}"


def check(program, names):
    failed = False
    for name, found in curves(program, names).items():
        wrong = list(faults(name, found))
        print(f"{name}: {'as in the file' if not wrong else f'{len(wrong)} numbers differ'}")
        for sentence in wrong[:5]:
            print("  " + sentence)
        failed = failed or bool(wrong)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["check", "write"])
    parser.add_argument("program", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("names", nargs="*", choices=[[], *tiny_runs.CURVES], metavar="NAME")
    arguments = parser.parse_args()
    act = {"check": check, "write": write}[arguments.action]
    return 1 if act(arguments.program, arguments.names or list(tiny_runs.CURVES)) else 0


if __name__ == "__main__":
    sys.exit(main())
