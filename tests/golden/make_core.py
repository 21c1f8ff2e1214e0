"""Golden draws of palate/core/generator.h, from an independent implementation of Philox 4x32-10 (Salmon et al. 2011), splitmix64
and FNV-1a in plain integers. Pinned because runs are resumed across releases."""
import json
import pathlib

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M64
    return x ^ (x >> 31)


def mix(a, b):
    return splitmix(splitmix(a) ^ ((b * 0xD6E8FEB86659FD93 + 0x2545F4914F6CDD1D) & M64))


def stable_hash(text):
    """Of text or bytes."""
    h = 0xCBF29CE484222325
    for c in text if isinstance(text, bytes) else text.encode():
        h = ((h ^ c) * 0x100000001B3) & M64
    return splitmix(h)


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


def draws(seed, sample, draw, purpose, count):
    low = mix(mix(seed, purpose), sample)
    high = mix(low, draw)
    key = [low & M32, low >> 32]
    out = []
    for block in range((count + 3) // 4):
        out += philox([block, 0, high & M32, high >> 32], key)
    return out[:count]


# The known-answer test of Random123 (kat_vectors, philox4x32 10): zero counter and key.
assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]

if __name__ == "__main__":
    keys = [(7, 11, 13, 2), (0, 0, 0, 15), (M64, 1 << 40, 3, 3)]
    golden = {
        "hashes": [[text, stable_hash(text)] for text in ("", "palate", "naïve 日本")],
        "draws": [{"key": key, "values": draws(*key, 9)} for key in keys],
    }
    path = pathlib.Path(__file__).parent / "generator.json"
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
