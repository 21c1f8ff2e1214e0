#!/usr/bin/env python3
"""Makes a parquet file in Pick-a-Pic's schema from a folder of photos.

    make_pairs_parquet.py OUTPUT PHOTOS... [--pairs N] [--ties N] [--seed N] [--images binary|struct]

PHOTOS are files or folders (searched in depth; .jpg, .jpeg, .png, .webp). Photos of one folder are one subject: each pair
takes two of one subject and a caption that names it. The bytes are stored as they are on disk. `--images struct` stores
Hugging Face's Image struct instead of plain binary. Which photo wins is drawn from the seed: the file has the form of real
preferences, not their content.
"""
import argparse
import datetime
import pathlib
import random
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TEMPLATES = ["a photo of a {}", "a {} on a wooden table", "a {} in the garden, soft light", "“{}”, détail 写真 🎨"]


def subjects(paths):
    """{name: [photo, photo, ...]}, folders with at least two photos, in a fixed order."""
    found = {}
    for root in paths:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(path.parent.name.replace("_", " "), []).append(path)
    return {name: photos for name, photos in sorted(found.items()) if len(photos) >= 2}


def schema(images):
    image = pa.binary() if images == "binary" else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema([
        ("are_different", pa.bool_()), ("best_image_uid", pa.string()), ("caption", pa.string()), ("created_at", pa.timestamp("ns")),
        ("has_label", pa.bool_()), ("image_0_uid", pa.string()), ("image_0_url", pa.string()), ("image_1_uid", pa.string()),
        ("image_1_url", pa.string()), ("jpg_0", image), ("jpg_1", image), ("label_0", pa.float64()), ("label_1", pa.float64()),
        ("model_0", pa.string()), ("model_1", pa.string()), ("ranking_id", pa.int64()), ("user_id", pa.int64()),
        ("num_example_per_prompt", pa.int64()), ("__index_level_0__", pa.int64()),
    ])


def row(index, photos, caption, label, images, rng):
    uids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in photos]
    best = "tie" if label == 0.5 else uids[0] if label == 1 else uids[1]
    blobs = [path.read_bytes() if images == "binary" else {"bytes": path.read_bytes(), "path": path.name} for path in photos]
    return {
        "are_different": True, "best_image_uid": best, "caption": caption,
        "created_at": datetime.datetime(2023, 3, 1) + datetime.timedelta(minutes=index), "has_label": True,
        "image_0_uid": uids[0], "image_0_url": f"https://example.org/{uids[0]}.png", "image_1_uid": uids[1],
        "image_1_url": f"https://example.org/{uids[1]}.png", "jpg_0": blobs[0], "jpg_1": blobs[1], "label_0": float(label),
        "label_1": 1.0 - label, "model_0": "camera", "model_1": "camera", "ranking_id": index, "user_id": 1 + index % 3,
        "num_example_per_prompt": 1, "__index_level_0__": index,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("photos", type=pathlib.Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--ties", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", choices=["binary", "struct"], default="binary")
    args = parser.parse_args()

    rng = random.Random(args.seed)
    groups = subjects(args.photos)
    if not groups:
        parser.error("no folder with two photos or more was found")
    names = list(groups)
    ties = set(rng.sample(range(args.pairs), args.ties))
    rows = []
    for index in range(args.pairs):
        name = names[index % len(names)]
        caption = TEMPLATES[index // len(names) % len(TEMPLATES)].format(name)
        label = 0.5 if index in ties else rng.randrange(2)
        rows.append(row(index, rng.sample(groups[name], 2), caption, label, args.images, rng))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=schema(args.images))
    pq.write_table(table, args.output, compression="snappy", row_group_size=8)
    print(f"{args.output}: {len(rows)} rows, {args.ties} ties, subjects {', '.join(names)}, {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
