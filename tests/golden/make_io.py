"""Goldens of palate/io: safetensors bytes, images with the pixels that Pillow decodes, Pillow's resizes, parquet files by pyarrow, and a
TensorBoard event file. Small and seeded; `make_io.py FOLDER` instead checks unit_io's
scratch folder (build/tmp/unit_io). Run with a Python that has safetensors, torch, pillow, pyarrow and tensorboard."""
import io
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageOps, PngImagePlugin
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
out = here / "io"
out.mkdir(exist_ok=True)
rng = np.random.default_rng(7)


def safetensors():
    f8 = torch.arange(7, dtype=torch.float32)
    tensors = {
        "zeta": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "alpha": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "half": torch.arange(5).to(torch.float16),
        "brain": torch.arange(5).to(torch.bfloat16),
        "flags": torch.tensor([True, False, True]),
        "bytes": torch.arange(3, dtype=torch.uint8),
        "signed": torch.arange(-2, 1, dtype=torch.int8),
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "u32": torch.tensor([1, 4294967295], dtype=torch.uint32),
        "u64": torch.tensor([1, 2], dtype=torch.uint64),
        "i16": torch.tensor([-1, 2], dtype=torch.int16),
        "i32": torch.tensor([-1, 2], dtype=torch.int32),
        "i64": torch.tensor([-1, 2], dtype=torch.int64),
        "f64": torch.tensor([0.1, -0.0], dtype=torch.float64),
        "f8a": f8.to(torch.float8_e4m3fn),
        "f8b": f8.to(torch.float8_e5m2),
        "c64": torch.tensor([1 + 2j], dtype=torch.complex64),
        'na"me\n\té': torch.ones(1),
    }
    save_file(tensors, out / "mixed.safetensors", metadata={"format": "pt"})
    # One key: the reference writes several in the order of a hash table, which differs from run to run.
    save_file({"a": torch.ones(1)}, out / "metadata.safetensors", metadata={'k"/': 'q"\\\u00e9\u2028\x1f\x7f\b\f/'})
    save_file({}, out / "nothing.safetensors")


def picture(height, width):
    """Smooth colours, edges and noise: what codecs round differently when they differ."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = np.stack([127 + 120 * np.sin(x / 5 + c) * np.cos(y / (4 + c)) for c in range(3)], -1)
    base[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 40)
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def exif(orientation):
    e = Image.Exif()
    e[0x0112] = orientation
    return e.tobytes()


def palette_png(bits):
    p = Image.fromarray(picture(23, 31)).quantize(2**bits - 1 if bits > 1 else 2)
    return p, {"bits": bits}


def png_16(color):
    """16-bit PNGs that Pillow reads but does not write: built chunk by chunk."""
    import struct
    import zlib

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    a = rng.integers(0, 65536, (9, 11, channels), dtype=np.uint16)
    if color == 0:
        a[:, ::2] %= 300  # around the value where Pillow clips
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in a)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 11, 9, 16, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def interlaced_png():
    """Adam7 by hand: Pillow reads it, but writes none."""
    import struct
    import zlib

    a = picture(13, 17)
    raw = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = a[y0::dy, x0::dx]
        if part.size:
            raw += b"".join(b"\0" + row.tobytes() for row in part)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 17, 13, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def images():
    files = {}

    def add(name, image, **options):
        data = io.BytesIO()
        image.save(data, **options)
        files[name] = data.getvalue()

    rgb = Image.fromarray(picture(37, 53))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(rng.integers(0, 256, (37, 53), dtype=np.uint8)))
    for name, sub in (("444", 0), ("422", 1), ("420", 2)):
        add(f"jpeg_{name}.jpg", rgb, format="JPEG", quality=80, subsampling=sub)
    add("jpeg_progressive.jpg", rgb, format="JPEG", quality=70, progressive=True)
    add("jpeg_optimised_low.jpg", rgb, format="JPEG", quality=15, optimize=True)
    add("jpeg_grey.jpg", rgb.convert("L"), format="JPEG", quality=75)
    add("jpeg_cmyk.jpg", rgb.convert("CMYK"), format="JPEG", quality=85)
    add("jpeg_keep_rgb.jpg", rgb, format="JPEG", quality=85, keep_rgb=True)
    add("jpeg_restart.jpg", rgb, format="JPEG", quality=75, restart_marker_blocks=3)
    small = rgb.crop((0, 0, 19, 14))
    for o in range(1, 9):
        add(f"jpeg_orientation_{o}.jpg", small, format="JPEG", quality=90, exif=exif(o))
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    add("jpeg_xmp.jpg", small, format="JPEG", quality=90, xmp=xmp)
    add("png_rgb.png", rgb, format="PNG")
    add("png_rgba.png", rgba, format="PNG")
    add("png_grey.png", rgb.convert("L"), format="PNG")
    add("png_grey_alpha.png", rgba.convert("LA"), format="PNG")
    add("png_bits.png", rgb.convert("1"), format="PNG")
    add("png_grey4.png", rgb.convert("L"), format="PNG", bits=4)
    add("png_grey2.png", rgb.convert("L"), format="PNG", bits=2)
    add("png_palette_alpha.png", rgba.quantize(40), format="PNG")
    add("png_transparent_colour.png", rgb, format="PNG", transparency=(1, 2, 3))
    add("png_exif.png", small, format="PNG", exif=exif(8))
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    add("png_xmp.png", small, format="PNG", pnginfo=text)
    for bits in (1, 2, 4, 8):
        p, options = palette_png(bits)
        add(f"png_palette{bits}.png", p, format="PNG", **options)
    for color, name in ((0, "grey"), (2, "rgb"), (4, "grey_alpha"), (6, "rgba")):
        files[f"png16_{name}.png"] = png_16(color)
    files["png_interlaced.png"] = interlaced_png()
    add("webp_lossy.webp", rgb, format="WEBP", quality=60)
    add("webp_lossy_alpha.webp", rgba, format="WEBP", quality=60)
    add("webp_lossless.webp", rgba, format="WEBP", lossless=True, exact=True)
    add("webp_exif.webp", small, format="WEBP", quality=70, exif=exif(5))
    add("webp_animated.webp", small, format="WEBP", save_all=True, append_images=[small.rotate(90)])
    tensors = {}
    for name, data in files.items():
        tensors["file." + name] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if name != "webp_animated.webp":
            pixels = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
            tensors["pixels." + name] = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
    save_file(tensors, out / "images.safetensors")


def resizes():
    tensors = {}
    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
    # The last three take the height off first (height - new height > 2 * (width - new width)), or just not.
    sizes = [((37, 53), (16, 16)), ((37, 53), (80, 101)), ((64, 48), (64, 20)), ((64, 48), (31, 48)), ((5, 3), (40, 1)), ((1, 1), (7, 9)), ((90, 120), (7, 5)),
             ((60, 30), (20, 17)), ((60, 30), (31, 16)), ((40, 12), (13, 25))]
    for i, ((h, w), (oh, ow)) in enumerate(sizes):
        if i < 7:
            a = rng.integers(0, 256, (h, w, 3), dtype=np.uint8) if i % 2 else picture(h, w)
        else:  # a generator of its own: what follows draws from rng
            a = np.random.default_rng(i).integers(0, 256, (h, w, 3), dtype=np.uint8)
        tensors[f"{i}.in"] = torch.from_numpy(a.copy()).permute(2, 0, 1).contiguous()
        for name, f in filters.items():
            r = np.asarray(Image.fromarray(a).resize((ow, oh), f))
            tensors[f"{i}.{name}"] = torch.from_numpy(r.copy()).permute(2, 0, 1).contiguous()
    values = torch.tensor([-0.3, 0.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.5, 0.999, 1.0, 1.7])
    tensors["values"] = values
    tensors["values.bytes"] = torch.from_numpy((values.clamp(0, 1).numpy() * 255).round().astype("uint8"))
    save_file(tensors, out / "resize.safetensors")


def parquet():
    data = io.BytesIO()
    Image.fromarray(picture(8, 8)).save(data, format="PNG")
    png = data.getvalue()
    n = 10
    image = pa.StructArray.from_arrays(
        [pa.array([png if i % 3 else None for i in range(n)], pa.binary()), pa.array(["/etc/passwd"] * n)], names=["bytes", "path"],
        mask=pa.array([i == 4 for i in range(n)]))
    table = pa.table({
        "caption": pa.array([f"row {i} é" if i != 2 else None for i in range(n)]),
        "jpg_0": pa.array([bytes([i] * i) for i in range(n)], pa.binary()),
        "label_0": pa.array([i / 2 if i != 5 else None for i in range(n)], pa.float64()),
        "count": pa.array(range(n), pa.int32()),
        "flag": pa.array([i % 2 == 0 for i in range(n)]),
        "category": pa.array([["red", "blue"][i % 2] for i in range(n)]).dictionary_encode(),
        "image": image,
        "list": pa.array([[i] for i in range(n)]),
        "large": pa.array([str(i) for i in range(n)], pa.large_string()),
    })
    pq.write_table(table, out / "table.parquet", row_group_size=4, compression="snappy")
    (out / "table_image.png").write_bytes(png)


def events():
    """A file by TensorBoard's own writer, with what we would log, as a framing reference."""
    import shutil
    import tempfile

    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder:
        writer = SummaryWriter(folder)
        writer.add_scalar("loss", 0.75, 0)
        writer.add_scalar("rewards/margins", -1.5, 3)
        writer.add_image("grid", torch.from_numpy(picture(6, 5)).permute(2, 0, 1), 300)
        writer.close()
        shutil.copy(next(pathlib.Path(folder).glob("events*")), out / "events.tfevents")


def check(folder):
    """The other direction, by hand after unit_io has run: pyarrow and TensorBoard read what palate wrote into its scratch folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = pq.read_table(folder / "parquet/pairs.parquet").to_pylist()
    assert rows == [{"jpg_0": b"\0" * i + b"\xff", "caption": "a caption", "label_0": i / 4, "id": -i, "has_label": i % 2 == 1} for i in range(7)]
    events = EventAccumulator(str(folder / "events")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("rewards/margins")] == [(3, -1.5)]
    assert (events.Images("grid")[0].step, events.Images("grid")[0].height) == (300, 6)
    print("pyarrow and TensorBoard read what palate wrote")


if len(sys.argv) > 1:
    check(pathlib.Path(sys.argv[1]))
    sys.exit()
safetensors()
images()
resizes()
parquet()
events()
