"""Runs of `palate train` that take about a second each: twelve steps on tiny random models and a few pictures of 16 x 16.

Two tests share them: curves.py holds what they log to tests/golden/curves, and tools/compare_builds lets two builds of the program
make them and compares every number and byte. Nothing here needs more than Python's standard library.
"""
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import time
import zlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
SD1, SDXL = REPOSITORY / "tests/golden/tiny_pipeline", REPOSITORY / "tests/golden/tiny_pipeline_xl"
STEPS = 12
PAIRS = 28
SHAPED = 12

# Of metrics.jsonl: what a clock or the machine gives.
TIMED_METRICS = {"pairs_per_second", "memory_gb"}

COMMON = ["seed=3", f"train.steps={STEPS}", "train.batch=3", "train.log_every=1", "train.validate_every=1", "train.validation_pairs=6",
          "train.validation_draws=2", "train.checkpoint_every=4", "data.resolution=16", "data.held_out=0.25", "optimizer.warmup_steps=3"]
# beta is small, so that rounding, which it multiplies, stays small.
DPO = ["objective.beta=200"]
ADAPTERS = ["lora.rank=4", "optimizer.lr=5e-3"]
SLOWER = ["optimizer.lr=5e-4"]  # for the SDXL model, which answers more strongly
WHOLE = ["full=true", "optimizer.lr=1e-4"]
LORA, FULL = ADAPTERS + DPO, WHOLE + DPO
BUCKETS = ["data.enable_bucket=true", "data.min_bucket_reso=8", "data.max_bucket_reso=32", "data.bucket_reso_steps=4"]
SFT = ["objective.loss=sft", "objective.reference=none"]
WORD = ["text.lora=true", "text.word=<toy>", "text.initializer=cat", "text.vectors=2", "text.lr=1e-3"]

# name: (model, data, settings). One thing beyond the plain LoRA each, so that a curve that moves says what moved it.
CURVES = {
    "lora": (SD1, "pairs", LORA),
    "lora_xl": (SDXL, "pairs", LORA + SLOWER),
    "full": (SD1, "pairs", FULL + ["objective.reference=frozen_copy"]),
    "full_bf16": (SD1, "pairs", WHOLE + SFT + ["train.dtype=bf16"]),  # DPO subtracts errors, which leaves bf16 few digits
    "cached": (SD1, "pairs", LORA + ["objective.reference=cached", "objective.reference_draws=3"]),
    "sft_buckets": (SD1, "pictures", ADAPTERS + SFT + BUCKETS + ["data.crop=random", "data.flip=true", "data.variants=2"]),
    "text": (SD1, "words", LORA + WORD),
    "text_xl": (SDXL, "words", LORA + SLOWER + WORD),
    "ema": (SD1, "pairs", LORA + ["train.ema=0.8", "train.keep_best=true"]),
    "accumulation": (SD1, "pairs", LORA + ["train.accumulation=2"]),
    "lora_dropout": (SD1, "pairs", LORA + ["lora.dropout=0.2"]),
    "caption_dropout": (SD1, "pairs", LORA + ["data.caption_dropout=0.4"]),
    "min_snr": (SD1, "pairs", LORA + ["objective.snr_gamma=5"]),
}

# What the curves leave out and two builds of one machine must still agree on.
MORE = {
    "full_bf16_dpo": (SD1, "pairs", FULL + ["objective.reference=frozen_copy", "train.dtype=bf16"]),
    "checkpointing": (SDXL, "pairs", LORA + SLOWER + ["train.gradient_checkpointing=true", "optimizer.lr_schedule=cosine"]),
    "cached_bf16": (SDXL, "pairs", FULL + ["objective.reference=cached", "objective.reference_draws=3", "train.dtype=bf16"]),
    "ipo_ties": (SD1, "pairs", LORA + ["objective.loss_type=ipo", "objective.beta=100", "data.ties=soft", "objective.label_smoothing=0.1"]),
    "turbo_offset": (SD1, "pairs", LORA + ["objective.timesteps=turbo", "objective.noise_offset=0.1", "optimizer.clip_norm=0.1"]),
    "pair_buckets": (SDXL, "shaped_pairs", LORA + SLOWER + BUCKETS),
    "sft_full": (SD1, "pictures", WHOLE + SFT),
    "lion": (SD1, "pairs", LORA + ["optimizer.name=lion", "optimizer.beta2=0.99", "optimizer.weight_decay=0.1"]),
    "adafactor": (SD1, "pairs", LORA + ["optimizer.name=adafactor"]),
    "adamw8bit": (SD1, "pairs", FULL + ["optimizer.name=adamw8bit", "objective.reference=frozen_copy"]),
    "prodigy": (SD1, "pairs", LORA + ["optimizer.name=prodigy", "optimizer.lr=1"]),
    "grids": (SD1, "pairs", LORA + ['sample.prompts=["a thing", "a toy"]', "sample.every=5", "sample.steps=2"]),
}
RUNS = CURVES | MORE


def pixels(number, height, width, channel):
    """Blocks of one colour each, brighter in one channel: rows of [r, g, b]."""
    numbers = random.Random(number)  # random() is the same in every release of Python
    blocks = [[[int(256 * (0.4 * numbers.random() + (0.6 if c == channel else 0))) for c in range(3)] for _ in range(8)] for _ in range(8)]
    return [[blocks[y // 4][x // 4] for x in range(width)] for y in range(height)]


def picture(number, height, width, channel):
    """An 8-bit RGB PNG without compression: the same bytes everywhere, for a pair's draws are keyed by the bytes of its pictures."""
    rows = b"".join(b"\0" + bytes(c for pixel in row for c in pixel) for row in pixels(number, height, width, channel))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b""))


def make_data(folder):
    """FOLDER/pairs.jsonl (winners red, losers blue: a preference that can be learned), words.jsonl (the same with the word <toy> in their
    prompts), shaped_pairs.jsonl of three shapes, and FOLDER/pictures with captions."""
    (folder / "pictures").mkdir(parents=True)
    lines = {"pairs": [], "words": [], "shaped_pairs": []}
    for i in range(PAIRS):
        (folder / f"win{i}.png").write_bytes(picture(2 * i, 16, 16, 0))
        (folder / f"lose{i}.png").write_bytes(picture(2 * i + 1, 16, 16, 2))
        line = {"prompt": f"a picture of thing {i // 2}", "chosen": f"win{i}.png", "rejected": f"lose{i}.png"}
        lines["words"].append(line | {"prompt": f"a picture of <toy> {i // 2}"})
        lines["pairs"].append(line | ({"confidence": [0.8, 0.5][i % 2]} if i % 9 >= 7 else {}))
    for i in range(SHAPED):
        height, width = 32 if i % 3 == 0 else 20, 32 if i % 3 == 1 else 20
        (folder / f"pictures/{i}.png").write_bytes(picture(100 + i, height, width, i % 3))
        (folder / f"pictures/{i}.txt").write_text(f"a picture of thing {i // 2}")
        lines["shaped_pairs"].append({"prompt": f"thing {i // 2}", "chosen": f"pictures/{i}.png",
                                      "rejected": f"pictures/{(i + 5) % SHAPED}.png"})
    for name, rows in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def command(program, name, data, output, more=()):
    """The command line of a run; `data` is make_data's folder."""
    model, kind, settings = RUNS[name]
    source = f'data.images=["{data}/pictures"]' if kind == "pictures" else f'data.pairs=["{data}/{kind}.jsonl"]'
    return [str(program), "-q", "train", *COMMON, f"model={model}", f"output={output}", source, *settings, *more]


def call(arguments, folder=None, environment=None):
    """Runs a program; what it printed is raised when it fails."""
    done = subprocess.run([str(a) for a in arguments], cwd=folder, env=os.environ | (environment or {}), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(a) for a in arguments)}\nended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def call_and_kill(arguments, folder, metrics, lines):
    """Runs a program and kills it (SIGKILL) once the file `metrics` has so many lines; false when it ended before."""
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([str(a) for a in arguments], cwd=folder, stdout=nowhere, stderr=nowhere)
        while process.poll() is None:
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= lines:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return process.returncode == -signal.SIGKILL
            time.sleep(0.002)
    return False


def read_metrics(run):
    """[(step, {name: value})] of RUN/metrics.jsonl, without times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], {k: v for k, v in line.items() if k != "step" and k not in TIMED_METRICS}) for line in lines]
