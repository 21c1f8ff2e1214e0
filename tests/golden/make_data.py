"""Goldens of palate/data: two small parquet files as Hugging Face and Pick-a-Pic write them, and the squares that Pillow
and torchvision's rules cut from their images.

    data_pickapic.parquet   12 rows, plain binary images, row group of 5: rows 3 and 8 are ties, row 7's jpg_1 is cut short,
                            row 10 has has_label = false
    data_struct.parquet     the first two rows with Image structs
    data_squares.safetensors  squares of images that are wide, tall and small: names SIDE.WIDTHxHEIGHT
"""
import io
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(20)


def picture(width, height):
    """Smooth colours with an edge, so that a shift by one pixel shows."""
    y, x = np.mgrid[0:height, 0:width]
    tone = rng.uniform(0.5, 3, 6)
    planes = [127 + 90 * np.sin(tone[2 * c] * x / width * 3 + tone[2 * c + 1] * y / height * 3) for c in range(3)]
    image = np.stack(planes, -1)
    image[height // 3:height // 2, width // 4:width // 2] = rng.uniform(0, 255, 3)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def encoded(image, kind):
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


def square(image, side):
    """torchvision: Resize(side, BILINEAR), CenterCrop(side)."""
    width, height = image.size
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    image = image if size == image.size else image.resize(size, Image.BILINEAR)
    left, top = int(round((size[0] - side) / 2.0)), int(round((size[1] - side) / 2.0))
    return torch.from_numpy(np.array(image.crop((left, top, left + side, top + side)))).permute(2, 0, 1).contiguous()


def main():
    labels = [1, 0, 1, 0.5, 0, 1, 1, 0, 0.5, 1, 1, 0]
    rows = []
    for i, label in enumerate(labels):
        images = [encoded(picture(20 + 4 * i, 30), "JPEG"), encoded(picture(24, 20 + 3 * i), "PNG" if i % 4 == 1 else "JPEG")]
        if i == 7:
            images[1] = images[1][:len(images[1]) // 2]
        rows.append({"caption": f"prompt {i // 2}: naïve 東京 🎨", "jpg_0": images[0], "jpg_1": images[1], "label_0": float(label),
                     "label_1": 1.0 - label, "has_label": i != 10, "are_different": True, "user_id": i})
    binary = pa.schema([("caption", pa.string()), ("jpg_0", pa.binary()), ("jpg_1", pa.binary()), ("label_0", pa.float64()),
                        ("label_1", pa.float64()), ("has_label", pa.bool_()), ("are_different", pa.bool_()), ("user_id", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, schema=binary), HERE / "data_pickapic.parquet", row_group_size=5)

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    struct = pa.schema([("caption", pa.string()), ("jpg_0", image), ("jpg_1", image), ("label_0", pa.float64())])
    short = [{"caption": r["caption"], "jpg_0": {"bytes": r["jpg_0"], "path": None}, "jpg_1": {"bytes": r["jpg_1"], "path": "x.jpg"},
              "label_0": r["label_0"]} for r in rows[:2]]
    pq.write_table(pa.Table.from_pylist(short, schema=struct), HERE / "data_struct.parquet")

    squares = {}
    # No picture so tall that Pillow 13 would resize it vertically first.
    for width, height, side in [(61, 40, 16), (33, 60, 16), (20, 21, 24), (32, 32, 32), (37, 32, 32), (32, 35, 32)]:
        source = picture(width, height)
        squares[f"source.{side}.{width}x{height}"] = torch.from_numpy(np.array(source)).permute(2, 0, 1).contiguous()
        squares[f"square.{side}.{width}x{height}"] = square(source, side)
    save_file(squares, HERE / "data_squares.safetensors")


if __name__ == "__main__":
    main()
