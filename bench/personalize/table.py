#!/usr/bin/env python3
"""table.py OUT: means over subjects of what run.sh measured, with 95% intervals that resample subjects (percentile bootstrap, 2000 draws)."""
import collections
import json
import pathlib
import random
import sys


def interval(values):
    draws = random.Random(0)
    means = sorted(sum(draws.choices(values, k=len(values))) / len(values) for _ in range(2000))
    return f"{sum(values) / len(values):.3f} [{means[50]:.3f}, {means[1949]:.3f}]"


def rows(name, evaluation):
    """(kind of run, column, measure, value)"""
    parts = {part: evaluation[part] for part in ("sum", "zip") if part in evaluation} or {"": evaluation["columns"]}
    for part, columns in parts.items():
        for column in columns:
            for measure, value in column.items():
                if isinstance(value, dict):
                    yield f"{name} {part}".strip(), column["name"], measure, value["mean"]
    for where, buckets in evaluation.get("noise_distance", {}).items():
        yield name, "", f"distance {where}", sum(bucket["distance"] for bucket in buckets) / len(buckets)


def main():
    found = collections.defaultdict(list)
    for file in sorted(pathlib.Path(sys.argv[1]).glob("*/evaluation.json")):
        name, _, _ = file.parent.name.rpartition("_")
        for run, column, measure, value in rows(name, json.loads(file.read_text())):
            found[run, column, measure].append(value)
    for (run, column, measure), values in sorted(found.items()):
        print(f"{run:24} {column:12} {measure:16} {interval(values)}  n={len(values)}")


if __name__ == "__main__":
    main()
