"""Goldens of the CLIP tokenizer: ids of transformers' CLIPTokenizer (the Rust one) on tokenizer/corpus.json.

Writes tokenizer/{vocab.json,merges.txt,special_tokens_map.json,tokenizer_config.json}, a small tokenizer trained on the
corpus with a few byte symbols left out, and tokenizer.json with, for each text, the ids under it and under the same with
SD2's map (pad "!"). With --model FOLDER, a real CLIP tokenizer, also its ids; without, those that are there are kept.

`slow` are the ids of the Python tokenizer that transformers had up to version 4, without ftfy: rebuilt here from its
BasicTokenizer, for the texts without special tokens. Where the two differ we follow the Rust one.
"""
import argparse
import hashlib
import json
import pathlib
import shutil
import tempfile

import regex
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers, Regex
from transformers import CLIPTokenizer
from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer

HERE = pathlib.Path(__file__).parent
PATTERN = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_symbols():
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def train(corpus, folder):
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=2400, end_of_word_suffix="</w>", show_progress=False, initial_alphabet=sorted(byte_symbols().values())))
    merges = [m if isinstance(m, list) else m.split(" ") for m in json.loads(tokenizer.to_str())["model"]["merges"]]
    left_out = {byte_symbols()[7]}  # the bell has no symbol: it becomes the unknown token
    merges = [m for m in merges if not left_out & set("".join(m))][:1500]
    symbols = [s for _, s in sorted(byte_symbols().items()) if s not in left_out]
    tokens = ["!", "!</w>"] + [s for s in symbols if s != "!"] + [s + "</w>" for s in symbols if s != "!"] + ["".join(m) for m in merges]
    tokens = list(dict.fromkeys(tokens)) + [START, END]
    folder.joinpath("vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False), encoding="utf-8")
    folder.joinpath("merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in merges), encoding="utf-8")


def write_map(folder, pad):
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    named = {"bos_token": {"content": START, **flags}, "eos_token": {"content": END, **flags}, "unk_token": {"content": END, **flags}}
    folder.joinpath("special_tokens_map.json").write_text(json.dumps({**named, "pad_token": pad}, indent=1) + "\n")
    config = {"model_max_length": 77, "pad_token": END, "tokenizer_class": "CLIPTokenizer", **{k: {"__type": "AddedToken", **v} for k, v in named.items()}}
    folder.joinpath("tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


class Slow:
    def __init__(self, folder):
        self.vocab = json.loads(folder.joinpath("vocab.json").read_text(encoding="utf-8"))
        rows = folder.joinpath("merges.txt").read_text(encoding="utf-8").strip("\n").split("\n")[1:]
        self.ranks = {tuple(row.split()): i for i, row in enumerate(rows)}
        self.basic = BasicTokenizer(strip_accents=False, do_split_on_punc=False)
        self.pattern = regex.compile(PATTERN, regex.IGNORECASE)
        self.bytes = byte_symbols()

    def piece(self, text):
        word = [self.bytes[b] for b in text.encode("utf-8")]
        word[-1] += "</w>"
        while len(word) > 1:
            pairs = list(zip(word, word[1:]))
            best = min(pairs, key=lambda p: self.ranks.get(p, 1 << 60))
            if best not in self.ranks:
                break
            merged, i = [], 0
            while i < len(word):
                if i + 1 < len(word) and (word[i], word[i + 1]) == best:
                    merged.append(word[i] + word[i + 1])
                    i += 2
                else:
                    merged.append(word[i])
                    i += 1
            word = merged
        return [self.vocab.get(t, self.vocab[END]) for t in word]

    def __call__(self, text):
        return [i for p in self.pattern.findall(" ".join(self.basic.tokenize(text))) for i in self.piece(p)]


def ids_of(tokenizer, corpus):
    return [tokenizer(text, add_special_tokens=False).input_ids for text in corpus]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="a real CLIP tokenizer's folder")
    parser.add_argument("--prompts", type=pathlib.Path, help="PartiPrompts.tsv, for the hash over all of its lines")
    arguments = parser.parse_args()
    folder, out = HERE / "tokenizer", HERE / "tokenizer.json"
    before = json.loads(out.read_text()) if out.exists() else {}
    corpus = json.loads(folder.joinpath("corpus.json").read_text())
    train(corpus, folder)
    write_map(folder, END)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    slow = Slow(folder)
    golden = {
        "ids": ids_of(tokenizer, corpus),
        "slow": [None if "<|" in text else slow(text) for text in corpus],
        "padded": [tokenizer(text, padding="max_length", max_length=12, truncation=True).input_ids for text in corpus],
        "decoded": [tokenizer.decode(tokenizer(text).input_ids) for text in corpus],
        "real": before.get("real"),
        "prompts_sha256": before.get("prompts_sha256"),
    }
    with tempfile.TemporaryDirectory() as scratch:
        sd2 = pathlib.Path(scratch)
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(folder / name, sd2)
        write_map(sd2, "!")
        golden["pad_mark"] = [CLIPTokenizer.from_pretrained(sd2)(text, padding="max_length", max_length=12, truncation=True).input_ids for text in corpus]
    if arguments.model:
        real = CLIPTokenizer.from_pretrained(arguments.model)
        golden["real"] = ids_of(real, corpus)
        if arguments.prompts:
            lines = [row.split("\t")[0] for row in arguments.prompts.read_text(encoding="utf-8").split("\n")[1:] if row]
            text = "".join(" ".join(map(str, ids)) + "\n" for ids in ids_of(real, lines))
            golden["prompts_sha256"] = hashlib.sha256(text.encode()).hexdigest()
            old = Slow(arguments.model)
            print("PartiPrompts:", len(lines), "lines;", sum(old(line) != ids for line, ids in zip(lines, ids_of(real, lines))), "differ from the old slow one")
    out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    differ = [text for text, a, b in zip(corpus, golden["ids"], golden["slow"]) if b is not None and a != b]
    print(len(corpus), "texts; slow and fast differ on", len(differ), [ascii(t)[:60] for t in differ])


if __name__ == "__main__":
    main()
