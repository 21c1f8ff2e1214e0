"""Goldens of data.images: buckets by the rules of kohya's sd-scripts, shards by Python's tarfile, a parquet as Hugging Face's
datasets writes it.

    images_buckets.json     sizes of buckets for several settings, and for many pictures the size they are resized to and the bucket
    images_ustar.tar        six samples "dir/NNN.*": jpg and txt; 002 has json instead, 003 png and caption, 004 no caption; folders,
                            a link, hidden files and __meta__ between them
    images_gnu.tar          two samples whose names are longer than a header holds, as GNU writes them
    images_pax.tar          the same in pax
    images_struct.parquet   five rows with an Image struct {bytes, path} called "photo", captions "text", the footer of datasets;
                            row 3 has a path and no bytes
"""
import io
import json
import math
import pathlib
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(11)


def bucket_sizes(width, height, least, most, step):
    """Every width from `least` on in steps, with the largest height in steps that keeps within the area, both ways round; and a square."""
    area = width * height
    square = int(math.sqrt(area) // step) * step
    sizes = {(square, square)}
    for one in range(least, most + 1, step):
        other = min(most, int((area // one) // step) * step)
        if other >= least:
            sizes |= {(one, other), (other, one)}
    return sorted(sizes)


def nearest_bucket(size, sizes):
    """The bucket of this size, or of the nearest shape (the first of equals), and what the picture is resized to so that it covers it."""
    width, height = size
    if size in sizes:
        return size, size
    shape = width / height
    bucket = sizes[int(np.abs(np.array([w / h for w, h in sizes]) - shape).argmin())]
    scale = bucket[1] / height if shape > bucket[0] / bucket[1] else bucket[0] / width
    return (int(width * scale + 0.5), int(height * scale + 0.5)), bucket


def own_bucket(size, area, step):
    """Never enlarged: too large a picture is brought to the area with one side in steps, the one that bends the shape less."""
    def in_steps(side):
        side = int(side + 0.5)
        return side - side % step
    width, height = size
    shape = width / height
    if width * height > area:
        free_width = math.sqrt(area * shape)
        free_height = area / free_width
        by_width = in_steps(free_width)
        shape_by_width = by_width / in_steps(by_width / shape)
        by_height = in_steps(free_height)
        shape_by_height = in_steps(by_height * shape) / by_height
        if abs(shape_by_width - shape) < abs(shape_by_height - shape):
            size = by_width, int(by_width / shape + 0.5)
        else:
            size = int(by_height * shape + 0.5), by_height
    return size, (size[0] - size[0] % step, size[1] - size[1] % step)


def buckets():
    pictures = [(512, 512), (1024, 1024), (1920, 1080), (1080, 1920), (640, 480), (333, 777), (3000, 1000), (1000, 3001), (512, 768), (65, 64), (4000, 4000)]
    pictures += [tuple(int(x) for x in rng.integers(64, 2500, 2)) for _ in range(120)]
    cases = []
    for width, height, least, most, step in [(512, 512, 256, 1024, 64), (1024, 1024, 256, 2048, 64), (512, 768, 320, 960, 32), (768, 768, 192, 1000, 48), (640, 512, 256, 1024, 8)]:
        sizes = bucket_sizes(width, height, least, most, step)
        fits = [[p, *nearest_bucket(p, sizes)] for p in pictures]
        usable = [p for p in pictures if min(p) >= step and max(p) / min(p) < 8]
        cases.append({"resolution": [width, height], "min": least, "max": most, "step": step, "sizes": sizes, "fits": fits,
                      "no_upscale": [[p, *own_bucket(p, width * height, step)] for p in usable]})
    (HERE / "images_buckets.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def picture(width, height, kind):
    y, x = np.mgrid[0:height, 0:width]
    tone = rng.uniform(1, 6, 3)
    image = np.stack([127 + 100 * np.sin(t * x / width * 3 + y / height * 2) for t in tone], -1).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind)
    return out.getvalue()


def add(tar, name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    tar.addfile(info, io.BytesIO(data))


def shards():
    with tarfile.open(HERE / "images_ustar.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        add(tar, "dir", kind=tarfile.DIRTYPE)
        add(tar, "__meta__", b"{}")
        for i in range(6):
            key = f"dir/{i:03d}"
            image = picture(24 + 4 * i, 32, "PNG" if i == 3 else "JPEG")
            add(tar, f"{key}.{'PNG' if i == 3 else 'jpg'}", image)
            add(tar, f"dir/._{i:03d}.jpg", b"\0\5\26\7")
            if i == 2:
                add(tar, key + ".json", json.dumps({"caption": "from json 2", "note": 3}).encode())
            elif i == 3:
                add(tar, key + ".caption", "naïve 東京\nsecond line\n".encode())
            elif i != 4:
                add(tar, key + ".txt", f"caption {i}\r\n".encode())
            if i == 1:
                add(tar, key + ".cls", b"7")
                add(tar, "dir/link.jpg", kind=tarfile.SYMTYPE, link="../../etc/passwd")
                add(tar, "README", b"no dot, no sample")
    for name, format in [("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        with tarfile.open(HERE / f"images_{name}.tar", "w", format=format) as tar:
            for i in range(2):
                key = "a" * 90 + f"/ü{'b' * 120}{i}"
                add(tar, key + ".png", picture(16 + i, 16, "PNG"))
                add(tar, key + ".txt", f"long {i}".encode())


def parquet():
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"id": i, "photo": {"bytes": None if i == 3 else picture(20 + 4 * i, 28, "PNG" if i % 2 else "JPEG"), "path": "/etc/passwd" if i == 3 else f"{i}.jpg"},
             "text": f"row {i}: naïve 東京"} for i in range(5)]
    features = {"id": {"dtype": "int64", "_type": "Value"}, "photo": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}}
    schema = pa.schema([("id", pa.int64()), ("photo", image), ("text", pa.string())], metadata={"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), HERE / "images_struct.parquet", row_group_size=2)


if __name__ == "__main__":
    buckets()
    shards()
    parquet()
