"""Goldens of palate/world: the renderer and the oracle, written down a second time in NumPy.

    world.safetensors   clean [40, 3, 32, 32] float32 renders, places [40, 2, 3] of their objects (x, y, radius),
                        spoiled [80, 3, 32, 32] uint8 pictures: flawed renders, wrong scenes, clutter
    world.json          captions of both, and what the oracle says of each picture
"""
import itertools
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import ndimage

HERE = pathlib.Path(__file__).parent
S = 32
SHAPES = ["circle", "square", "triangle", "cross", "ring"]
COLOURS = {"red": (220, 40, 40), "orange": (245, 140, 25), "yellow": (240, 225, 50), "green": (50, 170, 70), "blue": (45, 90, 225), "purple": (155, 60, 195)}
GROUNDS = {"black": (20, 20, 24), "grey": (128, 128, 128), "white": (240, 240, 240)}
RELATIONS = ["left of", "right of", "above", "below"]
PALETTE = np.array(list(COLOURS.values()) + list(GROUNDS.values()), np.float32) / 255
YY, XX = np.mgrid[0:S, 0:S].astype(np.float32)


def sdf(shape, x, y, r):
    if shape == 0:
        return np.hypot(x, y) - r
    if shape == 1:
        return np.maximum(abs(x), abs(y)) - r * 0.88
    if shape == 2:
        return np.maximum(y - 0.8 * r, (abs(x) * 1.8 - (y + r) * 0.95) / np.hypot(1.8, 0.95))
    if shape == 3:
        w = 0.32 * r
        return np.minimum(np.maximum(abs(x) - r, abs(y) - w), np.maximum(abs(x) - w, abs(y) - r))
    return abs(np.hypot(x, y) - 0.72 * r) - 0.28 * r


def render(scene, places):
    image = np.broadcast_to(PALETTE[6 + scene["ground"]], (S, S, 3)).copy()
    for (shape, colour, _), (x, y, r) in zip(scene["objects"], places):
        cover = np.clip(0.5 - sdf(shape, XX - x, YY - y, r), 0, 1)[..., None]
        image = image * (1 - cover) + cover * PALETTE[colour]
    return image.astype(np.float32)


def sample_scene(rng):
    def thing():
        return int(rng.integers(5)), int(rng.integers(6)), int(rng.integers(2))
    scene = dict(objects=[thing()], relation=None, ground=int(rng.integers(3)))
    if rng.integers(2) == 0:
        second = thing()
        while second[1] == scene["objects"][0][1]:
            second = thing()
        scene["objects"].append(second)
        scene["relation"] = int(rng.integers(4))
    return scene


def place(scene, rng):
    radius = [(4.8 if o[2] == 0 else 7.2) + rng.uniform(-0.3, 0.3) for o in scene["objects"]]
    if len(radius) == 1:
        low = radius[0] + 1
        return [(rng.uniform(low, 31 - low), rng.uniform(low, 31 - low), radius[0])]
    first = 0 if scene["relation"] in (0, 2) else 1
    second = 1 - first
    gaps = rng.dirichlet([2, 2, 2]) * (31 - 2 * sum(radius))
    along = [0, 0]
    along[first] = float(gaps[0] + radius[first])
    along[second] = float(along[first] + radius[first] + gaps[1] + radius[second])
    across = [float(np.clip(rng.normal(15.5, 2.5), r + 1, 30 - r)) for r in radius]
    return [(a, c, r) if scene["relation"] < 2 else (c, a, r) for a, c, r in zip(along, across, radius)]


def caption(scene):
    def words(o):
        return f"a {['small', 'big'][o[2]]} {list(COLOURS)[o[1]]} {SHAPES[o[0]]}"
    text = words(scene["objects"][0])
    if scene["relation"] is not None:
        text += f" {RELATIONS[scene['relation']]} {words(scene['objects'][1])}"
    return text + f" on a {list(GROUNDS)[scene['ground']]} background"


def normalised(mask, n=12):
    ys, xs = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    side = max(y1 - y0, x1 - x0)
    offset = (np.arange(n) + 0.5) / n * side - side / 2
    yi, xi = np.floor((y0 + y1) / 2 + offset).astype(int), np.floor((x0 + x1) / 2 + offset).astype(int)
    inside = ((yi >= 0) & (yi < S))[:, None] & ((xi >= 0) & (xi < S))[None]
    return mask[np.clip(yi, 0, S - 1)][:, np.clip(xi, 0, S - 1)] & inside


TEMPLATES = np.array([[normalised(sdf(s, XX - 15.5, YY - 15.5, r) < 0) for r in (4.8, 7.2, 11.0)] for s in range(5)])


def look(image):
    distance = ((image[:, :, None] - PALETTE) ** 2).sum(-1)
    nearest = distance.argmin(-1)
    border = np.concatenate([nearest[0], nearest[-1], nearest[:, 0], nearest[:, -1]])
    ground = int(np.bincount(border[border >= 6] - 6, minlength=3).argmax())
    patches = []
    for colour in range(6):
        labels, count = ndimage.label(nearest == colour)
        for i in range(1, count + 1):
            mask = labels == i
            if mask.sum() < 14:
                continue
            ys, xs = np.nonzero(mask)
            seen = normalised(mask)
            iou = ((seen & TEMPLATES).sum((-1, -2)) / (seen | TEMPLATES).sum((-1, -2))).max(1)
            extent = max(np.ptp(ys), np.ptp(xs)) + 1
            patches.append((int(iou.argmax()), colour, int(extent >= 12), float(xs.mean()), float(ys.mean()), float(iou.max())))
    return ground, patches, float(np.exp(-np.sqrt(distance.min(-1)).mean() / 0.06))


def verdict(image, scene):
    """All ways to match patches to the caption's objects are tried; most checks win, then the higher iou."""
    ground, patches, appeal = look(image)
    n = len(scene["objects"])
    best = None
    for chosen in itertools.product([*range(len(patches)), None], repeat=n):
        if len({c for c in chosen if c is not None}) < sum(c is not None for c in chosen):
            continue
        got = [None if c is None else patches[c] for c in chosen]
        checks = []
        for asked, g in zip(scene["objects"], got):
            checks += [0, 0, 0] if g is None else [g[1] == asked[1], g[0] == asked[0] and g[5] > 0.6, g[2] == asked[2]]
        if scene["relation"] is not None:
            ok = False
            if all(g is not None for g in got):
                dx, dy = got[1][3] - got[0][3], got[1][4] - got[0][4]
                ok = [dx > 3 and abs(dx) > abs(dy), dx < -3 and abs(dx) > abs(dy), dy > 3 and abs(dy) > abs(dx), dy < -3 and abs(dy) > abs(dx)][scene["relation"]]
            checks.append(ok)
        iou = float(np.mean([0 if g is None else g[5] for g in got]))
        if best is None or (sum(checks), iou) > best[:2]:
            best = (sum(checks), iou, len(checks))
    total = best[0] + (ground == scene["ground"]) + (len(patches) == n)
    acc = float(total / (best[2] + 2))
    return dict(acc=acc, strict=float(acc == 1), appeal=appeal, iou=best[1], reward=5 * acc + 3 * appeal + best[1], patches=len(patches), ground=ground)


def spoil(image, rng, index):
    kind = index % 5
    if kind == 0:
        image = ndimage.gaussian_filter(image, (1.1, 1.1, 0))
    elif kind == 1:
        image = image + rng.normal(0, 0.12, image.shape)
    elif kind == 2:
        image = image * 0.6 + 0.2
    elif kind == 3:  # clutter: many small patches
        for _ in range(9):
            y, x = rng.integers(0, 27, 2)
            image[y:y + 5, x:x + 4] = PALETTE[rng.integers(6)]
    else:  # half of one picture beside half of another
        other = sample_scene(rng)
        image[:, 16:] = render(other, place(other, rng))[:, 16:]
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def main():
    rng = np.random.default_rng(0)
    clean, places, spoiled, out = [], np.zeros((40, 2, 3), np.float64), [], {"clean": [], "spoiled": []}
    for i in range(120):
        scene = sample_scene(rng)
        where = place(scene, rng)
        image = render(scene, where)
        if i < 40:
            clean.append(image)
            places[i, :len(where)] = where
            out["clean"].append({"caption": caption(scene), **verdict(image, scene)})
        else:
            bytes_ = spoil(image, rng, i)
            spoiled.append(bytes_)
            out["spoiled"].append({"caption": caption(scene), **verdict(bytes_.astype(np.float32) / 255, scene)})
    save_file({"clean": torch.from_numpy(np.stack(clean).transpose(0, 3, 1, 2).copy()), "places": torch.from_numpy(places),
               "spoiled": torch.from_numpy(np.stack(spoiled).transpose(0, 3, 1, 2).copy())}, HERE / "world.safetensors")
    (HERE / "world.json").write_text(json.dumps(out, indent=0) + "\n")


main()
